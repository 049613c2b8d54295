"""The virtual environment of the compared packages, made once and cached.

What they pin does not touch the development environment, and this package is in it as well,
editable, so that all take turns in one process.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Environment", "prepared", "reason_in", "requirements"]

_ROOT = Path(__file__).parent.parent
_LIST = Path(__file__).parent / "requirements-peers.txt"
_OURS = ("--editable", f"{_ROOT}[cli,http]")
_LONGEST = 300


@dataclass(frozen=True)
class Environment:
    """A Python to measure with, and what it could not be given."""

    python: Path
    missing: dict[str, str] = field(default_factory=dict)


def requirements() -> list[str]:
    """What is compared, one requirement a line."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def prepared() -> Environment:
    """Make the environment, unless it is there.

    When none can be made at all, the present Python is what is measured with.
    """
    wanted = requirements()
    parts = (*wanted, sys.version, str(_ROOT), (_ROOT / "pyproject.toml").read_text("utf-8"))
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "jwt-deps-benchmarks" / digest
    python, done = folder / "bin" / "python", folder / "installed.json"
    if done.exists():
        return Environment(python, json.loads(done.read_text("utf-8")))
    _say(f"making an environment for the peers in {folder}")
    try:
        missing = _made(folder, python, wanted)
    except subprocess.CalledProcessError as error:
        reason = reason_in(error.stderr)
        return Environment(Path(sys.executable), dict.fromkeys(wanted, reason))
    done.write_text(json.dumps(missing), "utf-8")
    return Environment(python, missing)


def reason_in(output: str) -> str:
    """The sentence of an installer's output that says why, without addresses."""
    lines = [re.sub(r"^\W+", "", line) for line in output.splitlines() if line.strip()]
    because = [line for line in lines if re.match(r"(cause: )?Because ", line)]
    errors = [line for line in lines if re.match(r"error", line, re.IGNORECASE)]
    said = (because or errors[-1:] or lines[-1:] or ["no reason was given"])[0]
    said = re.sub(r"\w+://\S+", "(an address)", said.removeprefix("cause: "))
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def _made(folder: Path, python: Path, wanted: list[str]) -> dict[str, str]:
    """Make it and install everything; what cannot be had with the rest is left out, and why."""
    uv, install = shutil.which("uv"), [str(python), "-m", "pip", "install", "--quiet"]
    if uv is None:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
    else:
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    try:
        _run(*install, *_OURS, *wanted)
    except subprocess.CalledProcessError:
        _say("not all of the peers can be installed together: trying them one by one")
    else:
        return {}
    _run(*install, *_OURS)
    taken: list[str] = []
    missing: dict[str, str] = {}
    for one in wanted:
        try:
            _run(*install, *_OURS, *taken, one)
        except subprocess.CalledProcessError as error:
            missing[one] = reason_in(error.stderr)
        else:
            taken.append(one)
    return missing


def _run(*command: str) -> None:
    environment = {**os.environ, "UV_LINK_MODE": "copy"}
    subprocess.run(  # noqa: S603 - our own words, and the requirements of this repository
        command, check=True, capture_output=True, text=True, env=environment
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
