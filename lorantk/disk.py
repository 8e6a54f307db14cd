"""Find the project's folder, write files whole or not at all, and say in one line why a disk refuses them."""

import contextlib
import errno
import functools
import os
import re
import sys
from pathlib import Path

ROOM = "expected free space on the disk, got {}; free some and run the same command again: finished work is kept"
ACCESS = "expected files that can be read and written, got {}; make them accessible, or work in a copy"
WORDS = {errno.ENOSPC: ROOM, errno.EDQUOT: ROOM, errno.EROFS: ACCESS, errno.EACCES: ACCESS}
# The error number for a full or read-only disk, as Python, Sphinx and Rust write it, and the path if there is one; for a copy,
# the path of its destination.
REFUSAL = re.compile(
    rf"(?:\[Errno |OSError\(|os error )({errno.ENOSPC}|{errno.EDQUOT}|{errno.EROFS})\b"
    r"(?:\] [^:;)\n]+: (?:'[^'\n]+' -> )?'([^'\n]+)')?"
)


def project_root():
    """Return the nearest folder, from the current one upwards, that has a pyproject.toml, or the current one if none has."""
    here = Path.cwd()
    return next((path for path in (here, *here.parents) if (path / "pyproject.toml").is_file()), here)


def write_whole(path, content):
    """Write bytes to `path` so that an interruption or an error leaves either the old file or the new one, never a part.

    An error names `path` and leaves no temporary file behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        error.filename = str(path)
        raise


def refusal(text):
    """Return the error of a full or read-only disk that a text reports, or None."""
    if found := REFUSAL.search(text):
        return OSError(int(found[1]), os.strerror(int(found[1])), found[2])
    return None


def in_words(name):
    """Make the `main` of the command `name` end with one line and status 1 if it may not write or the disk is full."""

    def decorate(main):
        @functools.wraps(main)
        def told(arguments=None):
            try:
                return main(arguments)
            except OSError as error:
                if error.errno not in WORDS:
                    raise
                sys.stderr.write(f"{name}: {WORDS[error.errno].format(error)}\n")
                return 1

        return told

    return decorate
