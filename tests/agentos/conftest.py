"""Serve the examples as a user does, each once for all tests of this directory."""

import os
import re
import sys
from collections.abc import Iterator

import httpx2
import pytest

from tests.providers.programs import Program

from .clients import ENVIRONMENT, AgentOSClient

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
