"""Where files go, files that are whole or absent, and what a command says where the disk does not take them."""

import contextlib
import errno
import functools
import os
import re
import sys
from pathlib import Path

ROOM = "expected room to write, got {}; free some and run the same command again: what is finished is kept"
ACCESS = "expected files that can be read and written, got {}; make them so, or work in a copy where they are"
WORDS = {errno.ENOSPC: ROOM, errno.EDQUOT: ROOM, errno.EROFS: ACCESS, errno.EACCES: ACCESS}
# The number of an error of a disk that is full or read-only, as Python, Sphinx and Rust write it; and where it is given the path,
# of a copy that of its destination.
REFUSAL = re.compile(
    rf"(?:\[Errno |OSError\(|os error )({errno.ENOSPC}|{errno.EDQUOT}|{errno.EROFS})\b"
    r"(?:\] [^:;)\n]+: (?:'[^'\n]+' -> )?'([^'\n]+)')?"
)


def project_root():
    """The nearest folder, from the current one upwards, that has a pyproject.toml; the current one if none has."""
    here = Path.cwd()
    return next((path for path in (here, *here.parents) if (path / "pyproject.toml").is_file()), here)


def write_whole(path, content):
    """Write bytes to `path` so that an interruption or an error leaves the old file or the new one, never a part.

    An error names `path` and leaves nothing that takes room.
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
    """The error of a full or read-only disk that a text tells of, or None."""
    if found := REFUSAL.search(text):
        return OSError(int(found[1]), os.strerror(int(found[1])), found[2])
    return None


def in_words(name):
    """Make the `main` of the command `name` end in one line and status 1 where it may not write or has no room to."""

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
