"""Writing files so that a crash leaves the old one or the new one, never half of one."""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

LEFTOVER = ".unfinished"
LEFTOVER_AGE = 60.0  # s after which a file is not being written any more


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file and return only when it will survive a power cut.

    Raises:
        OSError: the disk is full or the folder not writable; the old file is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=LEFTOVER)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_leftovers(folder: Path) -> None:
    """Delete what `write_atomically` was killed in, but nothing that is being written.

    Raises:
        OSError: the folder cannot be read.
    """
    for path in folder.glob(f".*{LEFTOVER}"):
        with suppress(OSError):  # another process may have been faster, or own it
            if time.time() - path.stat().st_mtime > LEFTOVER_AGE:
                path.unlink()
