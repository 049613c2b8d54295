"""The commands in the example's README print what it shows."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.minting import SECRET
from tests.providers.programs import ROOT

from .clients import ENVIRONMENT, AgentOSClient, seen_by_the_tool

README = ROOT / "examples/agentos/README.md"


def commands() -> list[str]:
    """Return the two blocks of commands: one to start it, one to ask it."""
    return re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents that stand one behind the other."""
    while (start := text.find("{")) >= 0:
        document, end = json.JSONDecoder().raw_decode(text[start:])
        yield document
        text = text[start + end :]


@pytest.mark.skipif(shutil.which("curl") is None, reason="its commands need curl")
@pytest.mark.parametrize("example", ["app"], indirect=True)
def test_commands_show_what_they_say(agents: AgentOSClient) -> None:
    """Those of the second terminal, against the server that the first one starts."""
    _, ask = commands()
    for written, here in {
        "http://127.0.0.1:8000": str(agents.http.base_url),
        ". .venv/bin/activate\n": "",
        "for-this-demonstration-on-my-machine-only": SECRET,
    }.items():
        assert written in ask
        ask = ask.replace(written, here)

    process = subprocess.run(  # noqa: S603 - the README's own commands
        ["/bin/bash", "-eu", "-o", "pipefail", "-c", ask],
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert process.stdout.startswith("HTTP/1.1 401 Unauthorized")
    refusal, run, of_ann, of_bob, asked_by_bob = documents(process.stdout)
    assert refusal == {"detail": "Authorization header missing"}
    assert seen_by_the_tool(run["tools"][0]) == {
        "user_id": "ann",
        "session_id": "first",
        "dependencies": {"tenant": "acme"},
        "session_state": {"theme": "dark"},
    }
    assert [session["session_id"] for session in of_ann["data"]] == ["first"]
    assert of_bob["data"] == []
    assert asked_by_bob["detail"].endswith("not found")


def test_server_of_the_tests_is_the_one_that_is_shown() -> None:
    """The first block sets the variables that the tests set, but for the secret."""
    start, _ = commands()

    shown = dict(re.findall(r"(JWT_\w+)=(\S+)", start))
    assert shown | {"JWT_SECRET_KEY": SECRET} == ENVIRONMENT
    assert "uvicorn examples.agentos.app:app" in start
