"""Start the examples, each under its configurations, once for all tests of this directory."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import httpx2
import pytest

from .clients import AgentOSClient
from .configurations import environments

ROOT = Path(__file__).parents[2]
EXAMPLES = ("app", "base_app")
PATIENCE = 90.0

_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")

#: The log of the process with a configuration, once it has something to say.
Logs: TypeAlias = Callable[[str, re.Pattern[str]], str]
#: The client of the process with a configuration, by the name that `_process` gives it.
Serving: TypeAlias = Callable[[str], AgentOSClient]


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the directory of the logs of all servers, which run until the tests are done."""
    directory = tmp_path_factory.mktemp("agentos")
    path = {"PATH": os.environ["PATH"]}
    plan = [
        {
            "target": f"examples.agentos.{example}:app",
            "environment": path | environment,
            "log": str(directory / f"{_process(example, configuration)}.log"),
            "cold": configuration == "secret",
        }
        for configuration, environment in environments(directory).items()
        for example in (EXAMPLES if configuration == "secret" else EXAMPLES[:1])
    ]
    plan_file = directory / "plan.json"
    plan_file.write_text(json.dumps(plan))
    with (
        (directory / "serve.log").open("wb") as log,
        subprocess.Popen(  # noqa: S603 - a program of this directory
            [sys.executable, "-m", "tests.agentos.serve", str(plan_file)],
            cwd=ROOT,
            env=path,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ),
    ):
        yield directory  # leaving closes its standard input and waits for it


@pytest.fixture(scope="session", params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> str:
    """Return the name of the example that is tested, for tests of both."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def deadline(logs: Path) -> float:
    """Return the moment at which all servers have had time enough: they start together."""
    assert logs.is_dir()
    return time.monotonic() + PATIENCE


@pytest.fixture(scope="session")
def log_of(logs: Path, deadline: float) -> Logs:
    """Return the function that reads a server's log as soon as that has a certain line."""

    def read(configuration: str, line: re.Pattern[str]) -> str:
        path = logs / f"{configuration}.log"
        while True:
            log = path.read_text() if path.exists() else (logs / "serve.log").read_text()
            if line.search(log):
                return log
            assert time.monotonic() < deadline, log
            time.sleep(0.05)

    return read


@pytest.fixture(scope="session")
def serving(log_of: Logs) -> Iterator[Serving]:
    """Return the function that gives the client of the server with a configuration."""
    known: dict[str, AgentOSClient] = {}
    with ExitStack() as stack:

        def client_of(configuration: str) -> AgentOSClient:
            if configuration not in known:
                running = _RUNNING.search(log_of(configuration, _RUNNING))
                assert running is not None
                client = httpx2.Client(base_url=running[1], timeout=30, trust_env=False)
                known[configuration] = AgentOSClient(stack.enter_context(client))
            return known[configuration]

        yield client_of


@pytest.fixture
def agents(serving: Serving, example: str) -> AgentOSClient:
    """Return the client of the example as it is shipped, configured with a secret."""
    return serving(_process(example, "secret"))


def _process(example: str, configuration: str) -> str:
    """The name of a process: the settings are the same code in both, so one example serves most."""
    return configuration if example == EXAMPLES[0] else f"{example}-{configuration}"
