"""A content security policy for every page: it runs the scripts that the site was built with, and no other.

The policy stands in the page itself, so that it holds on any server and for pages opened from a file. It names each inline
script by its hash; a script that something else puts into the page, in an element or in an attribute, does not run. Styles
may be inline: MathJax writes those of its formulas, and pandas those of its tables.
"""

import base64
import hashlib
import re

from lorantk.publishing.errors import PublishingError

RULES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
}
# What the theme's buttons do on a click, which `lorantk.js` lets them do without a script in an attribute.
CLICK = re.compile(r'\bonclick="(?:window\.)?(print|toggleFullScreen)\(\)"')
# The character set comes first: a browser looks for it in the first kilobyte alone. A page that only leads on has none.
START = re.compile(r'<meta charset="[^"]*" ?/?>')
OPENING = '<meta http-equiv="Content-Security-Policy"'
POLICY = re.compile(rf"{OPENING}[^>]*>")
SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL | re.IGNORECASE)
DATA = re.compile(r'\btype="application/[^"]*json"')
TAG = re.compile(r"<[a-z](?:[^>\"']|\"[^\"]*\"|'[^']*')*>", re.IGNORECASE)
VALUE = re.compile(r"=\s*(?:\"[^\"]*\"|'[^']*')")
HANDLER = re.compile(r"\son\w+\s*=", re.IGNORECASE)
ADDRESS = re.compile(r"=\s*[\"']?\s*javascript:", re.IGNORECASE)


def script_hash(content):
    """The hash by which a policy names an inline script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def policy(page):
    """The policy of a page: `RULES`, with the hash of each script that stands in the page."""
    inline = [content for attributes, content in SCRIPT.findall(page) if "src=" not in attributes and not DATA.search(attributes)]
    hashes = " ".join(dict.fromkeys(map(script_hash, inline)))
    return "; ".join(f"{name} {value}{f' {hashes}' * (name == 'script-src' and bool(hashes))}" for name, value in RULES.items())


def scripts_in_attributes(page):
    """Tags of a page that hold a script where a policy lets none run."""
    return [tag for tag in TAG.findall(page) if ADDRESS.search(tag) or HANDLER.search(VALUE.sub("=", tag))]


def unguarded(page):
    """`page` without the policy that `guarded` gave it."""
    return POLICY.sub("", page)


def guarded(page):
    """`page` with its policy, before anything that the policy is about.

    Raises
    ------
    PublishingError
        If a script stands in an attribute, where it would not run.
    """
    page = CLICK.sub(r'data-lorantk-click="\1"', page)
    if found := scripts_in_attributes(page):
        raise PublishingError(f"expected no script in an attribute, got {found[0]}")
    start = START.search(page)
    place = start.end() if start else 0
    return f'{page[:place]}{OPENING} content="{policy(page)}">{page[place:]}'
