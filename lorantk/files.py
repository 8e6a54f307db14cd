"""Where files go, and files that are whole or absent."""

import os
from pathlib import Path


def project_root():
    """The nearest folder, from the current one upwards, that has a pyproject.toml; the current one if none has."""
    here = Path.cwd()
    return next((path for path in (here, *here.parents) if (path / "pyproject.toml").is_file()), here)


def write_whole(path, content):
    """Write bytes to `path` so that an interruption leaves the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
