"""Serve the examples as a user does, each once for all tests of this directory."""

import os
import re
import sys
from collections.abc import Iterator
from typing import Any, get_args

import httpx2
import pytest
from pydantic import TypeAdapter

from tests.providers.programs import Program

from .clients import ENVIRONMENT, AgentOSClient

#: What validates a parameter, by its type and the rest of its declaration.
_ADAPTERS: dict[tuple[Any, str], TypeAdapter[Any]] = {}
_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="package", autouse=True)
def _adapters_are_made_once() -> Iterator[None]:
    """The tests here build an AgentOS a hundred times, half of which FastAPI takes for adapters.

    It makes three for each of a thousand parameters.
    """

    def adapter(declared: Any, *, config: Any = None) -> TypeAdapter[Any]:
        kind, *rest = get_args(declared)
        key = kind, f"{rest} {config}"
        if key not in _ADAPTERS:
            _ADAPTERS[key] = TypeAdapter(declared, config=config)
        return _ADAPTERS[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastapi._compat.v2.TypeAdapter", adapter)
        yield


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
