"""Configured keys in files, which are read again when the files change."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from jwt_deps.concurrency import uptime
from jwt_deps.errors import ConfigurationError

from .file_version import FileVersion, version_of
from .key_set import KeySet
from .provider import KeyHealth

logger = logging.getLogger("jwt_deps")

#: Seconds between two looks at the files, so that a change holds within ten.
_INTERVAL = 5


class KeyFiles:
    """Keys of which some are in files. A look at the files costs microseconds and never waits.

    The keys that were read last stay until all files together make good keys again.
    """

    def __init__(self, name: str, paths: Sequence[Path], build: Callable[[], KeySet]) -> None:
        """Read the files by `build`; the name is the issuer's, for logs."""
        self.clock: Callable[[], float] = uptime
        self._name = name
        self._paths = paths
        self._build = build
        self._version = version_of(paths)
        self._keys = build()
        self._read_at = self._looked_at = uptime()
        self._error: str | None = None

    def current(self) -> KeySet:
        """The keys, read again if it is time and a file has changed."""
        if self.clock() >= self._looked_at + _INTERVAL:
            self.look()
        return self._keys

    def look(self) -> None:
        """Read the files again if one has changed."""
        now = self._looked_at = self.clock()
        version = version_of(self._paths)
        if version != self._version or self._error is not None:
            self._read(version, now)

    def health(self) -> KeyHealth:
        """Return the state of the keys; `fresh` is whether the files are as they were read."""
        keys = self.current()
        return KeyHealth(
            fresh=self._error is None,
            degraded=self._error is not None,
            cooling_down=False,
            reloading=False,
            age=self.clock() - self._read_at,
            keys=keys.size,
            skipped=(),
            last_error=self._error,
        )

    def _read(self, version: FileVersion | None, now: float) -> None:
        try:
            keys = self._build()
        except ConfigurationError as error:
            if error.message != self._error:
                # Without a traceback, whose frames know what was read.
                logger.error("keys of %s are not read again: %s", self._name, error)  # noqa: TRY400
            self._error = error.message
            return
        self._version, self._keys, self._read_at, self._error = version, keys, now, None
        logger.info("keys of %s were read again: a file changed", self._name)
