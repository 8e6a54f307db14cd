"""The one error of the audit."""


class AuditError(ValueError):
    """Input that cannot be audited; the message is one line that names the file and the tensor or key."""


def quoted(value, limit: int = 120) -> str:
    """A value as it stands in a message: its `repr`, cut where it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
