"""Serve the examples as a user does, each once for all tests of this directory."""

import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import fastapi._compat.v2
import httpx2
import pytest
from pydantic import TypeAdapter

from tests.providers.programs import Program

from .clients import ENVIRONMENT, AgentOSClient

_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="session", autouse=True)
def _validators_are_made_once() -> Iterator[None]:
    """Each AgentOS has the same 1,100 parameters, whose validators are half of its start."""
    made: dict[Any, TypeAdapter[Any]] = {}

    def validator(annotated: Any, *, config: Any = None) -> TypeAdapter[Any]:
        kind = annotated.__origin__
        if kind.__module__ == fastapi._compat.v2.__name__:  # the model of one route's body
            return TypeAdapter(annotated, config=config)
        key = kind, repr(annotated.__metadata__), repr(config)
        if key not in made:
            made[key] = TypeAdapter(annotated, config=config)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastapi._compat.v2, "TypeAdapter", validator)
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
