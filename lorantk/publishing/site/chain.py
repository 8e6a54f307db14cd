"""The paper's argument as a picture: a chain whose links are whole, mended or broken, drawn as SVG with links to the chapters.

The picture is one narrow column, so that its text is as large on a phone as the text around it.
"""

import textwrap
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, LINE, TITLE = 360, 52, 19, 30  # units: one is about a pixel on a phone
COLUMNS = 40  # characters of a line
# How each state is drawn (a name of the style sheet), its dashes, and what it is called.
STATES = {
    "whole": ("holds", "", "holds as printed"),
    "mended": ("condition", "", "holds in the limit or under a further condition"),
    "broken": ("fails", "", "fails as printed"),
    "loose": ("undecided", "4 4", "too small to matter, or undecided"),
}
_STATE = {
    "holds exactly": "whole",
    "confirmed": "whole",
    "holds in the limit": "mended",
    "holds under a condition": "mended",
    "deterministic equivalent": "mended",
    "fails as printed": "broken",
    "contradicted": "broken",
}


@dataclass(frozen=True)
class Link:
    """One link of the chain: what it says, its verdict, where that is, and chapters on what holds instead (address by name)."""

    text: str
    verdict: str
    address: str
    mends: dict

    @property
    def state(self):
        """A name out of `STATES`."""
        return _STATE.get(self.verdict, "loose")


def ring(state, y, height):
    """One link of the chain, a ring: closed, with a plate over the mended place, or with a gap."""
    name, dashes, _ = STATES[state]
    x, width, top, low = 14, 22, y + 3, y + height - 3
    outline = f'<rect x="{x}" y="{top}" width="{width}" height="{low - top}" rx="11" fill="none" stroke-dasharray="{dashes}"/>'
    middle = (top + low) / 2
    if state == "mended":
        outline += f'<rect x="{x + width - 5}" y="{middle - 7}" width="10" height="14" rx="2" fill="currentColor"/>'
    if state == "broken":
        right = x + width
        outline = (
            f'<path fill="none" d="M{right} {middle - 8} V{top + 11} a11 11 0 0 0 -22 0 V{middle - 4}"/>'
            f'<path fill="none" d="M{right} {middle + 4} V{low - 11} a11 11 0 0 1 -22 0 V{middle + 8}"/>'
            f'<path d="M{right - 4} {middle - 7} l8 -4 M{right - 4} {middle + 5} l8 -4" stroke-width="2"/>'
        )
    return f'<g class="lorantk-{name}" stroke="currentColor" stroke-width="4">{outline}</g>'


def lowered(line):
    """A line of text for SVG, with the index of ``M_Δ`` lowered."""
    return escape(line).replace("M_Δ", 'M<tspan dy="4" font-size="70%">Δ</tspan><tspan dy="-4">\u200b</tspan>')


def written(link, y):
    """The text of a link below height `y` (what it says, the verdict, what holds instead), and the height where it ends."""
    lines = textwrap.wrap(link.text, COLUMNS)
    spans = "".join(f'<tspan x="{LEFT}" y="{y + LINE * (1 + place)}">{lowered(line)}</tspan>' for place, line in enumerate(lines))
    y += LINE * (len(lines) + 1)
    name = STATES[link.state][0]
    verdict = f'<text x="{LEFT}" y="{y}" class="lorantk-{name}">{escape(link.verdict)}</text>'
    text = f"<text>{spans}</text>" + (f'<a href="{escape(link.address)}">{verdict}</a>' if link.address else verdict)
    if link.mends:
        y += LINE
        names = ", ".join(f'<a href="{escape(address)}">{escape(name)}</a>' for name, address in link.mends.items())
        text += f'<text x="{LEFT}" y="{y}">instead: chapter{"s" * (len(link.mends) > 1)} {names}</text>'
    return text, y


def draw(groups):
    """The picture as SVG.

    Parameters
    ----------
    groups : dict of str to list of Link
        The links in order, by the title of their part of the argument.
    """
    parts, y = [], 0
    for title, links in groups.items():
        parts.append(f'<text x="4" y="{y + TITLE - 8}" class="title">{escape(title)}</text>')
        y += TITLE
        for link in links:
            text, end = written(link, y)
            height = end - y + 12
            parts.append(ring(link.state, y, height + 4) + text)
            y += height
        y += 10
    links = [link for links in groups.values() for link in links]
    counts = ", ".join(f"{count} {state} ({words})" for state, (count, words) in counted(links).items())
    description = f"A chain of {len(links)} links from top to bottom: {counts}. The list below says the same in words."
    head = f'<svg class="lorantk-chain" viewBox="0 0 {WIDTH} {y}" role="group" aria-label="{escape(description)}">'
    return f"{head}{''.join(parts)}</svg>"


def counted(links):
    """How many links are in each state that occurs: a dict from state to number and words."""
    states = [link.state for link in links]
    return {state: (states.count(state), words) for state, (_, _, words) in STATES.items() if state in states}
