"""Locks for one process at a time; a lock ends with its process, however that ends."""

import contextlib
import fcntl


@contextlib.contextmanager
def locked(path, waiting=None):
    """Hold an exclusive lock on the file `path` for the duration of a `with` block, and yield its handle.

    If another process holds it, print `waiting` and wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                print(waiting, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
