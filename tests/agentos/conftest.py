"""Serve each example, as a user does, and each setup once for all tests of this directory."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache

import httpx2
import pytest

from tests.providers.programs import Program

from .clients import ENVIRONMENT, AgentOSClient
from .side_by_side import SETUPS, Pair, pair

_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="session", params=["app", "base_app"])
def example(request: pytest.FixtureRequest) -> str:
    """The name of the example that is tested."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def agents(example: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentOSClient]:
    """The client of the example, in a process of its own and configured with a secret."""
    target = f"examples.agentos.{example}:app"
    program = Program(
        [sys.executable, "-m", "uvicorn", target, "--port", "0", "--no-use-colors"],
        ready=_RUNNING,
        log=tmp_path_factory.mktemp("agentos") / f"{example}.log",
        environment={"PATH": os.environ["PATH"], **ENVIRONMENT},
    )
    try:
        url = program.start()[1]
        with httpx2.Client(base_url=url, timeout=30, trust_env=False) as client:
            yield AgentOSClient(client)
    finally:
        program.stop()


def _silent(_: logging.LogRecord) -> bool:
    return False


@pytest.fixture(scope="package", autouse=True)
def _agno_is_silent() -> Iterator[None]:
    """It tells of each refusal, in colors, which takes longer than to refuse."""
    loggers = [logging.getLogger(it) for it in ("agno", "agno-team", "agno-workflow")]
    for logger in loggers:
        logger.addFilter(_silent)
    yield
    for logger in loggers:
        logger.removeFilter(_silent)


@pytest.fixture(scope="package")
def servers() -> Iterator[Callable[[str, bool], Pair]]:
    """Return the function that gives the clients of both, by the name of a setup and the wiring."""
    with ExitStack() as stack:

        @cache
        def clients(name: str, based: bool) -> Pair:  # noqa: FBT001
            return stack.enter_context(pair(replace(SETUPS[name], based=based)))

        yield clients


@pytest.fixture(scope="package")
def served(servers: Callable[[str, bool], Pair]) -> Callable[[str], Pair]:
    """The clients of a setup that is about requests, in one wiring."""
    return lambda name: servers(name, SETUPS[name].based)


@pytest.fixture(scope="package")
def plain(served: Callable[[str], Pair]) -> Pair:
    """The clients of both, with nothing configured but the secret."""
    return served("plain")
