"""Check a word against the ones that are known."""

from collections.abc import Iterable


def one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Raise ValueError, which names the words that are known, unless `value` is one of them."""
    known = tuple(known)
    if value not in known:
        words = ", ".join(word or "''" for word in known)
        msg = f"{name} must be one of {words}; got {value!r}"
        raise ValueError(msg)
