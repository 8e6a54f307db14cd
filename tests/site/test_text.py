"""What a reader sees on each page: no markup, nothing cut off, no meaningless output."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

WIDTHS = (1366, 1920)
PHONE, PAPER = 390, 700  # pixels; on a phone formulas, tables and figures may scroll, and on paper nothing does
LEGIBLE = 7  # pixels: the smallest text of a figure on a phone
# Patterns of markup in the text of a page, outside code and formulas.
RAW = {
    "role": r"\{[a-z][a-z:-]+\}",
    "fence": r"`{3}|:{3}|~{3}",
    "option": r"(?m)^[ \t]*:[a-z-]+:(?:[ \t].*)?$",
    "label": r"(?m)^[ \t]*\([\w:-]+\)=",
    "dollars": r"\$\$",
    "formula": r"\$[^$\s][^$\n]*\$|\\[a-zA-Z]{2,}|\\[()\[\]]",
    "emphasis": r"\*\*",
    "link": r"\]\(",
    "relation": r"[<>]=|(?<![=!])==(?!=)",
    "minus": r"(?<![\w.:/)\]-])-\d",
    "minus zero": r"(?<![\w)])−0(?:\.0+)?(?![\d.])",
}
# The same in code, which legitimately has braces and backslashes.
RAW_IN_CODE = {"role in code": r"\{[a-z:]+\}`", "directive in code": r"(?:`{3}|:{3})\{", "dollars in code": r"\$\$"}
# In the titles of columns that phones show in front of cells, and in the names of symbols: a hyphen is none, TeX is left, or a
# number does not say what it counts.
UNSET = {"sign in a label": r"(?<![A-Za-z])-|-(?![A-Za-z])|\\|[lr]Vert", "number as a label": r"^[\d.]+$"}
NUMBERS = r"[\[(][\s\d.,+\-einfa()\[\]]*[\])]"
MEANINGLESS = re.compile(
    rf"True|False|None|Ellipsis|<.*>|(?:np|numpy|jnp)\.\w+\(.*\)|\w*[aA]rray\(.*\)|(?:Text|Line2D|Axes|Figure)\(.*\)|{NUMBERS}",
    re.DOTALL,
)
# Names that the code has for things and the text does not, as the head of a row or column.
CODE_NAMES = re.compile(r"adam|sgd|lora|lora-fa|upa|bpa|renyi|who|i|ii|iii|iv|\((?:i|ii|iii|iv|v)\)")
OPEN = "() => document.querySelectorAll('article details').forEach(part => { part.open = true; })"
SETTLED = "() => new Promise(done => setTimeout(done, 50))"
SEEN = """() => {
    const style = document.createElement('style');
    style.textContent = 'mjx-container, pre, code, dt.sig { display: none !important }';
    const code = [...document.querySelectorAll('article :is(pre, code)')].filter(node => node.checkVisibility());
    const found = {code: code.map(node => node.innerText)};
    document.head.append(style);
    found.text = document.body.innerText;
    style.remove();
    found.heads = [...document.querySelectorAll('article th')].map(node => node.innerText.trim());
    found.labels = [...document.querySelectorAll('article td[data-label]')].map(node => node.dataset.label);
    found.labels.push(...[...document.querySelectorAll('article a.lorantk-symbol')].map(node => node.ariaLabel));
    found.outputs = [...document.querySelectorAll('.cell_output > .output')].map(node => node.innerText.trim());
    return found;
}"""
CUT = """() => {
    const article = (document.querySelector('article') ?? document.body).getBoundingClientRect();
    const beyond = box => box.width > 0 && (box.right > article.right + 1 || box.left < article.left - 1);
    const found = [];
    for (const pre of document.querySelectorAll('article pre')) {
        if (!pre.checkVisibility()) continue;
        if (pre.scrollWidth > pre.clientWidth + 1 || beyond(pre.getBoundingClientRect()))
            found.push(['code', pre.innerText]);
    }
    for (const formula of document.querySelectorAll('article mjx-container[display]')) {
        const drawn = formula.querySelector('mjx-math').getBoundingClientRect();
        const place = formula.parentElement.getBoundingClientRect();
        const number = formula.parentElement.querySelector('.eqno');
        const room = number ? number.getBoundingClientRect().left : place.right;
        if (drawn.width > 0 && (drawn.right > room + 1 || drawn.left < place.left - 1 || beyond(drawn)))
            found.push(['formula', formula.parentElement.id || formula.innerText]);
    }
    for (const table of document.querySelectorAll('article table'))
        if (beyond(table.getBoundingClientRect())) found.push(['table', table.innerText]);
    return found;
}"""

# Punctuation that stands on another line than the formula before it.
PARTED = """() => [...document.querySelectorAll('article :is(span.math, a.lorantk-symbol)')].flatMap(node => {
    if (!node.checkVisibility()) return [];
    const next = node.nextSibling;
    if (next?.nodeType !== Node.TEXT_NODE || !/^[.,;:!?)\\]’”…-]/.test(next.data)) return [];
    const range = document.createRange();
    range.setStart(next, 0);
    range.setEnd(next, 1);
    const [mark, formula] = [range.getBoundingClientRect(), node.getBoundingClientRect()];
    return mark.left < formula.right - 1 ? [['mark', node.innerText + next.data]] : [];
})"""

FIGURES = """() => [...document.querySelectorAll('article .lorantk-figure img')]
    .map(image => [image.src, image.getBoundingClientRect().width])"""
# In a drawing by Matplotlib: its width, and lines of text as outlines, scaled by a hundredth of their size in points.
WIDTH = re.compile(r'<svg[^>]* width="([\d.]+)pt"')
TEXT_SCALE = re.compile(r"<g [^>]*scale\(([\d.]+) -\1\)")

# Formulas that scroll although they would fit if they were drawn a little smaller, and those at which the Tab key stops in vain.
FORMULAS = """() => [...document.querySelectorAll('article mjx-container')].filter(node => node.clientWidth).flatMap(node => {
    const scrolls = getComputedStyle(node).overflowX === 'auto' && node.scrollWidth > node.clientWidth + 1;
    const found = scrolls && node.clientWidth > 0.77 * node.scrollWidth ? [['formula that could fit', node.innerText]] : [];
    return !scrolls && node.tabIndex === 0 ? [...found, ['stop in vain', node.innerText]] : found;
})"""


@dataclass(frozen=True)
class Fault:
    """Something that a reader should not see: its kind, and an excerpt."""

    kind: str
    excerpt: str


def matches(patterns, text):
    """Return a fault for each pattern that occurs in a text, with the words around it."""
    for kind, pattern in patterns.items():
        if found := re.search(pattern, text):
            yield Fault(kind, text[max(0, found.start() - 30) : found.end() + 50])


def small_text(page):
    """Return a fault for each figure of an open page in which some text is drawn too small to read."""
    for address, width in page.evaluate(FIGURES):
        drawing = Path(unquote(urlsplit(address).path)).read_text()
        points = 100 * min(map(float, TEXT_SCALE.findall(drawing)))
        pixels = points * width / float(WIDTH.search(drawing)[1])
        if pixels < LEGIBLE:
            yield Fault("small text", f"{Path(address).name}: {pixels:.1f} px")


def faults(page):
    """Return what is wrong with an open page."""
    page.evaluate(OPEN)
    seen = page.evaluate(SEEN)
    found = [*matches(RAW, seen["text"])]
    found += [fault for text in seen["code"] for fault in matches(RAW_IN_CODE, text)]
    found += [fault for text in seen["labels"] for fault in matches(UNSET, text)]
    found += [Fault("output", text[:80]) for text in seen["outputs"] if MEANINGLESS.fullmatch(text)]
    found += [Fault("head", text) for text in seen["heads"] if CODE_NAMES.fullmatch(text)]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(SETTLED)
        found += [Fault(f"{kind} cut off at {width} px", text[:80]) for kind, text in page.evaluate(CUT)]
    for width, media in ((PHONE, "screen"), (PAPER, "print")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(media=media)
        page.evaluate(SETTLED)
        seen = [one for one in page.evaluate(CUT) if media == "print" or one[0] == "code"]
        found += [Fault(f"{kind} cut off, {media} at {width} px", text[:80]) for kind, text in seen]
        found += [Fault("mark on another line", text[:80]) for _, text in page.evaluate(PARTED)]
        if media == "screen":
            found += small_text(page)
            found += [Fault(kind, text[:80]) for kind, text in page.evaluate(FORMULAS)]
    page.emulate_media(media="screen")
    return list(dict.fromkeys(found))


def test_a_page_shows_no_source_cuts_nothing_off_and_has_no_output_without_meaning(file_visitor, page):
    assert faults(file_visitor(page, width=WIDTHS[0]).page) == []


LONG = r"\[" + "+".join(["abcdefgh"] * 30) + r"\]"
OUTPUT = '<div class="cell_output"><div class="output"><pre>{}</pre></div></div>'
TABLE = f"<table><tr>{'<td>columns</td>' * 60}</tr></table>"
DRAWING = '<img src="../_images/rank-settings.svg" alt="A" width="624" height="518">'
FIGURE = f'<div class="lorantk-figure"><figure>{{}}{DRAWING}{{}}</figure></div>'
PLANTED = [
    ("<p>See {cite:p}`nobody2020`.</p>", "role"),
    ("<p>See {cite:p}<code>nobody2020</code>.</p>", "role"),
    ("<p>```{prf:theorem} One</p>", "fence"),
    ("<p>:::note</p>", "fence"),
    ("<p>:label: one</p>", "option"),
    ("<p>(a-label)=</p>", "label"),
    ("<p>$$ x = 1 $$</p>", "dollars"),
    ("<p>The matrix $M$ is.</p>", "formula"),
    (r"<p>The matrix M_\Delta is.</p>", "formula"),
    ("<p>It is **so**.</p>", "emphasis"),
    ("<p>See [here](there.html).</p>", "link"),
    ("<details><summary>More</summary><p>$$ x $$</p></details>", "dollars"),
    ("<pre>```{dropdown} Solution</pre>", "directive in code"),
    ("<pre>see {doc}`there`</pre>", "role in code"),
    ("<pre>$$\nx\n$$</pre>", "dollars in code"),
    (f"<pre>{'x' * 200}</pre>", "code cut off at 1366 px"),
    (f"<pre>{'x' * 200}</pre>", "code cut off at 1920 px"),
    ("<p>x &lt;= 1</p>", "relation"),
    ("<p>an exponent of -0.5</p>", "minus"),
    ("<p>1.2 [−0.0, 2.4]</p>", "minus zero"),
    (f'<div class="math notranslate nohighlight">{LONG}</div>', "formula cut off at 1366 px"),
    (f'<div class="math notranslate nohighlight">{LONG}</div>', "formula cut off at 1920 px"),
    (FIGURE.format("", ""), "small text"),
    (f'<pre style="white-space: pre">{"x" * 60}</pre>', "code cut off, screen at 390 px"),
    (f'<pre style="white-space: pre !important">{"x" * 120}</pre>', "code cut off, print at 700 px"),
    (f'<div class="math notranslate nohighlight">{LONG}</div>', "formula cut off, print at 700 px"),
    (TABLE, "table cut off at 1366 px"),
    (TABLE, "table cut off, print at 700 px"),
    *((OUTPUT.format(text), "output") for text in ("True", "None", "np.float64(0.5)", "Text(0.5, 1.0, &#x27;x&#x27;)")),
    *((OUTPUT.format(text), "output") for text in ("&lt;Figure size 640x480&gt;", "array([1., 2.])", "[1.  2.5 nan]")),
    *((f"<table><tr><th>{text}</th></tr></table>", "head") for text in ("sgd", "(v)", "renyi")),
    (r'<p style="width: 0.7em"><span class="math notranslate nohighlight">\(x\)</span>, and</p>', "mark on another line"),
    ('<table><tr><td data-label="A = (1, -1)">1</td></tr></table>', "sign in a label"),
    ('<table><tr><td data-label="2lVert BArVert">1</td></tr></table>', "sign in a label"),
    ('<table><tr><td data-label="16">1</td></tr></table>', "number as a label"),
    *((OUTPUT.format(text), "output") for text in ("Array([0, 1], dtype=int32)", "(0.1, -3e-05)")),
]
CODE_80 = '<div class="cell docutils container"><div class="cell_input docutils container">{}</div></div>'
ALLOWED = [
    "<p>It costs $5, or {0, 1} of it: <code>{doc}</code>, <code>a**b</code> and <code>\\Delta</code>.</p>",
    f"<pre>{'x' * 80}</pre>",
    CODE_80.format(f'<div class="highlight-ipython3 notranslate"><div class="highlight"><pre>{"x" * 80}</pre></div></div>'),
    f'<details class="sd-card"><summary>Solution</summary><div class="sd-card-body"><pre>{"x" * 80}</pre></div></details>',
    r'<div class="math notranslate nohighlight">\[x = 1\]</div>',
    FIGURE.format('<div class="lorantk-scroll" tabindex="0" role="region" aria-label="A">', "</div>"),
    "<table><tr><th>SGD</th><th>v = 1</th></tr></table>",
    '<table><tr><td data-label="cross-entropy at x = −1">1</td></tr></table>',
    "<p>−0.04 [−1.2, 0.0], −0.003 and 0</p>",
    OUTPUT.format("rank 8: 0.5"),
    OUTPUT.format("0.5"),
]
PLANT = """async html => {
    const part = document.createElement('div');
    part.innerHTML = html;
    document.querySelector('article').append(part);
    await MathJax.typesetPromise([...part.querySelectorAll('.math')]);
    window.planted = part;
}"""


@pytest.fixture(scope="module")
def plant(site, file_visitor):
    """A function that adds HTML to the end of a clean page and returns the kinds of faults that are then found."""
    opened = file_visitor.context.new_page()
    opened.goto((site / "book/notation.html").as_uri(), wait_until="load")
    opened.evaluate("() => MathJax.startup.promise")
    assert faults(opened) == []

    def add(html):
        opened.evaluate(PLANT, html)
        found = {fault.kind for fault in faults(opened)}
        opened.evaluate("() => window.planted.remove()")
        return found

    yield add
    opened.close()


@pytest.mark.parametrize(("html", "kind"), PLANTED)
def test_each_kind_of_fault_is_noticed(plant, html, kind):
    assert kind in plant(html)


@pytest.mark.parametrize("html", ALLOWED)
def test_allowed_text_is_not_a_fault(plant, html):
    assert plant(html) == set()
