"""The errors of the publishing wing; each message says what was expected and what was got."""


class PublishingError(ValueError):
    """What a chapter hands over cannot be published."""


class ClaimError(PublishingError):
    """A claim id that the registry does not list, or one that is used twice."""


class EvidenceError(PublishingError):
    """Evidence that is no finite number, is malformed, or fails where it has to hold."""


class VerdictError(PublishingError):
    """A verdict that the evidence does not support."""


class FigureError(PublishingError):
    """A figure without what a published figure needs."""


class RecordError(PublishingError):
    """Records of chapters that do not make one whole."""
