"""The only error class of the audit."""


class AuditError(ValueError):
    """Input that cannot be audited; the message is one line that names the file and the tensor or key."""


def quoted(value, limit: int = 120) -> str:
    """Return a value as messages show it: its `repr`, truncated if it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
