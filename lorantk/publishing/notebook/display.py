"""Show results in the running notebook, and write numbers as in print."""

import base64
import re
from html import escape

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
WIDTH = 650  # pixels: a figure in a notebook, as wide as the text column


def _parts(value, spec):
    """`value` formatted by `spec`, and the power of ten that follows, or None where there is none or it is one.

    What reads as zero has no sign.
    """
    text = format(value, spec)
    if not isinstance(value, str):
        text = re.sub(r"^-(?=[0.,]+%?$)", "", text)
    mantissa, _, exponent = text.partition("e")
    if isinstance(value, str) or not exponent.lstrip("+-").isdigit():
        return text, None
    return mantissa, int(exponent) or None


def number_text(value, spec):
    """`value` formatted by `spec`, with powers of ten as in print: ``1.2 × 10⁻⁹``, not ``1.2e-09``."""
    text, exponent = _parts(value, spec)
    return text if exponent is None else f"{text} × 10{str(exponent).translate(_SUPERSCRIPT)}"


def number_tex(value, spec):
    r"""As `number_text`, for a formula: ``1.2 \times 10^{-9}``, with characters that TeX would interpret escaped."""
    text, exponent = _parts(value, spec)
    text = text.replace("%", r"\%").replace(",", "{,}")
    return text if exponent is None else rf"{text} \times 10^{{{exponent}}}"


def _show(data, metadata):
    """Display data in several representations; outside of a notebook, do nothing."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:
        display(data, raw=True, metadata=metadata)


def show_verdict(claim, verdict, pieces):
    """Show a verdict and how many pieces of its evidence hold."""
    held = sum(piece.passed for piece in pieces)
    text = f"{claim}: {verdict} ({held} of {len(pieces)} pieces of evidence hold)"
    _show({"text/plain": text, "text/html": f"<p>{escape(text)}</p>"}, {"lorantk": {"verdict": claim}})


def show_figure(name, png):
    """Show a figure in the notebook; the page shows it where its directive is."""
    data = {"text/plain": f"figure {name}", "image/png": base64.b64encode(png).decode()}
    _show(data, {"lorantk": {"figure": name}, "image/png": {"width": WIDTH}})
