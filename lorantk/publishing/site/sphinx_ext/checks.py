"""Faults that no page may have: each is a warning with file and line, and the build turns warnings into errors."""

import re

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)
COLUMN = 720  # pixels: the width of the text column between both sidebars
OUTSIDE = re.compile(
    r"<(script|link|img|iframe|source|video|audio|object|embed)\b[^>]*?\b(?:src|href|data|srcset)\s*=\s*[\"']?((?:https?:)?//[^\s\"'>]+)",
    re.IGNORECASE,
)
RAW_IMAGE = re.compile(r"<img\b(?![^>]*\balt\s*=\s*[\"']?[^\s\"'>])[^>]*>", re.IGNORECASE)
PIXELS = {"": 1, "px": 1, "pt": 4 / 3, "in": 96, "cm": 96 / 2.54, "mm": 96 / 25.4, "em": 16, "rem": 16, "%": COLUMN / 100}


def image_faults(image):
    """What is wrong with an image, in words."""
    uri = image.get("uri", "")
    if re.match(r"(https?:)?//", uri):
        yield f"expected an image of this site, got one from outside: {uri}"
    if not image.get("alt", "").strip():
        yield f"expected alternative text for the image {uri}, got none"
    width = re.fullmatch(r"([\d.]+)\s*(px|pt|in|cm|mm|em|rem|%|)", image.get("width", "0"))
    if width and float(width[1]) * PIXELS[width[2]] > COLUMN:
        yield f"expected an image of at most the column's {COLUMN} px, got {image['width']} for {uri}"


def raw_faults(raw):
    """What is wrong with the HTML in a page's source, in words."""
    for tag, address in OUTSIDE.findall(raw.astext()):
        yield f"expected nothing from outside, got <{tag}> from {address}"
    for image in RAW_IMAGE.findall(raw.astext()):
        yield f"expected alternative text in {image[:80]}, got none"


def place(node):
    """The nearest node that knows its line: `node` or an ancestor."""
    while not node.line and node.parent is not None:
        node = node.parent
    return node


def check_page(app, doctree):
    """Warn about every fault of a page."""
    for node in doctree.findall():
        faults = ()
        if isinstance(node, nodes.image):
            faults = image_faults(node)
        elif isinstance(node, nodes.raw) and "html" in node.get("format", ""):
            faults = raw_faults(node)
        elif isinstance(node, nodes.figure) and not any(isinstance(child, nodes.caption) for child in node.children):
            faults = ["expected a caption for the figure, got none"]
        for fault in faults:
            logger.warning(fault, location=place(node), type="lorantk")
