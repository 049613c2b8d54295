"""Run every group of benchmarks in its own process and write a report and a picture.

    python -m benchmarks                      everything, into benchmarks/report.md and docs/
    python -m benchmarks --quick              a few rounds, to see that it works: printed only
    python -m benchmarks --only requests      one group: printed only
    python -m benchmarks --out DIR            below DIR in place of this repository

It never fails for what it has measured: a target is met or missed, and a group that breaks off is
said to have.
"""

import argparse
import json
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import cast

from benchmarks import report
from benchmarks.environment import Environment, prepared, reason_in
from benchmarks.measuring import Effort, Findings, Group

__all__ = ["GROUPS", "QUICK", "main", "measured"]

#: The groups and their modules, in the order of the report.
GROUPS = {
    "machine": "machine",
    "requests": "per_request",
    "verify": "verifying",
    "loopback": "loopback",
    "growth": "growth",
    "imports": "imports",
}
QUICK = Effort(rounds=1, slice_seconds=0.0002, quick=True)
_ROOT = Path(__file__).parent.parent


def measured(group: str, effort: Effort) -> Findings:
    """Measure a group in this process."""
    module = cast("Group", import_module(f"benchmarks.{GROUPS[group]}"))
    logger = logging.getLogger("jwt_deps")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # refusals are measured as well
    try:
        return module.run(effort)
    finally:
        logger.setLevel(level)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; the status says only whether it could be run."""
    options = _options(arguments)
    effort = QUICK if options.quick else Effort(rounds=options.rounds)
    if options.worker:
        sys.stdout.write(json.dumps(asdict(measured(options.worker, effort))) + "\n")
        return 0
    environment = Environment(Path(sys.executable)) if options.here else prepared()
    findings: dict[str, Findings] = {}
    for group in [options.only] if options.only else GROUPS:
        begun = time.monotonic()
        sys.stderr.write(f"{group} ...")
        sys.stderr.flush()
        findings[group] = _apart(group, environment, _effort_of(options))
        sys.stderr.write(f" {time.monotonic() - begun:.0f} s\n")
    text = report.markdown(findings, environment.missing)
    sys.stdout.write(text)
    if options.out or not (options.quick or options.only):
        report.write(text, findings, options.out or _ROOT)
    return 0


def _effort_of(options: argparse.Namespace) -> list[str]:
    """How thoroughly a worker has to measure."""
    return ["--quick"] if options.quick else ["--rounds", str(options.rounds)]


def _apart(group: str, environment: Environment, effort: list[str]) -> Findings:
    """Measure a group in a new process of that environment; what came of it if it cannot be."""
    python = str(environment.python)
    done = subprocess.run(  # noqa: S603 - this very command
        [python, "-W", "ignore", "-m", "benchmarks", "--worker", group, *effort],
        cwd=_ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return Findings(**json.loads(done.stdout.splitlines()[-1]))
    sys.stderr.write(f"\n{done.stderr}")
    return Findings(group.capitalize(), {}, f"Not measured: {reason_in(done.stderr)}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or ""))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="a few rounds, to see that it works")
    parser.add_argument("--only", choices=GROUPS, help="one group")
    parser.add_argument("--out", type=Path, help="the folder to write below, in place of this one")
    parser.add_argument("--rounds", type=int, default=100, help="how many rounds (100)")
    parser.add_argument(
        "--here", action="store_true", help="with the packages at hand: make no environment"
    )
    parser.add_argument("--worker", choices=GROUPS, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
