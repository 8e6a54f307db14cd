"""The errors of the publishing wing; each message says what was expected and what was found."""


class PublishingError(ValueError):
    """What a chapter hands over cannot be published."""


class ClaimError(PublishingError):
    """A claim id that the registry does not list, or one that is used twice."""


class EvidenceError(PublishingError):
    """Evidence that is not a finite number, is malformed, or fails where it must hold."""


class VerdictError(PublishingError):
    """A verdict that the evidence does not support."""


class FigureError(PublishingError):
    """A figure without what a published figure needs."""


class RecordError(PublishingError):
    """Records of chapters that do not fit together."""


class WordsError(PublishingError):
    """Words of a chapter that do not fit what its code recorded."""
