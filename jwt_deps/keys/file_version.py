"""Whether files have changed since they were read."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

FileVersion: TypeAlias = tuple[tuple[int, int, int], ...]


def version_of(paths: Iterable[Path]) -> FileVersion | None:
    """What tells one version of files from another; `None` if one is not there."""
    try:
        found = [os.stat(path) for path in paths]  # noqa: PTH116 - half the time
    except (OSError, ValueError):  # the latter for a name with a null byte
        return None
    return tuple((one.st_mtime_ns, one.st_ino, one.st_size) for one in found)
