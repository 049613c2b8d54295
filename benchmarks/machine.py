"""The machine and the versions of a run."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.measuring import Effort, Findings

__all__ = ["run"]

_PACKAGES = (
    "jwt-deps",
    "fastapi",
    "starlette",
    "pydantic",
    "python-jose",
    "cryptography",
    "uvicorn",
    "uvloop",
    "httptools",
    "agno",
    "auth0-fastapi-api",
    "authx",
    "fastapi-azure-auth",
    "fastapi-jwks",
    "fastapi-jwt",
    "fastapi-users",
    "jwks-client",
    "joserfc",
    "Authlib",
    "PyJWT",
    "oxyjwt",
)


def run(effort: Effort) -> Findings:
    """Say it; how busy the machine was before is part of it."""
    one, five, _ = os.getloadavg()
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {effort.rounds} rounds.",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs ({_processor()}).",
        f"Load {one:.1f} in the minute before, {five:.1f} in five.",
        f"{platform.python_implementation()} {platform.python_version()}; {_versions()}.",
    ]
    return Findings("Machine and versions", {"machine/load": one}, "\n".join(lines))


def _processor() -> str:
    """The model's name, where the system tells it."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        told = []
    names = (line.partition(":")[2].strip() for line in told if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def _versions() -> str:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)
