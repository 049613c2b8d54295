"""The quick start of the README, pasted into a shell in order, ends with an answer."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.mark.skipif(shutil.which("curl") is None, reason="its commands need curl")
def test_from_nothing_to_an_answer(tmp_path: Path) -> None:
    """Only the environment and what installs are left out: this one has them."""
    quick_start = README[README.index("## Quick start") : README.index("For an identity provider")]
    _, (_, first), (_, second) = _FENCED.findall(quick_start)
    example = next(text for language, text in _FENCED.findall(README) if language == "python")
    (tmp_path / "main.py").write_text(example)
    commands = f"pip() {{ :; }}\n{first}{second}kill %1\n".replace("8000", str(free_port()))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    done = subprocess.run(  # noqa: S603 - the README's own commands
        ["/bin/bash", "-eu", "-c", commands],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert '{"user_id":"alice"}' in done.stdout, done.stderr
    assert 'The answer is `{"user_id":"alice"}`' in quick_start
