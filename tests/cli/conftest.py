"""What the tests of the command line can rely on."""

import logging
from collections.abc import Iterator

import pytest

_CONFIGURED = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "jwt_deps")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A server configures loggers of the whole process; no other test is to see that."""
    loggers = [logging.getLogger(name) for name in _CONFIGURED]
    before = [(it.level, list(it.handlers), it.propagate) for it in loggers]
    yield
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
