"""Run the tests of a room on its mutants, and print those that survive."""

import argparse
import json
import os
import random
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest
from coverage import Coverage
from hypothesis import Phase, settings

from tests.measuring import EXCLUDED
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.running import ChangedModule, Forks, OneMutant

ROOT = Path(__file__).parents[2]
SCORES = Path(__file__).with_name("scores.json")
SURVIVORS = tomllib.loads(Path(__file__).with_name("survivors.toml").read_text())
_CORE = (
    *("tests/property", "tests/advisories", "tests/vectors", "tests/settings"),
    *("tests/test_errors_page.py", "tests/test_settings_table.py", "tests/test_arguments.py"),
)
#: The tests of each room.
TESTS = {
    "jose": ("tests/jose", "tests/keys", "tests/tokens", "tests/testing/test_signing.py", *_CORE),
    "keys": (
        *("tests/keys", "tests/web/test_fetched_keys.py", "tests/web/test_telemetry.py"),
        *("tests/settings/test_tenants.py", "tests/test_settings_table.py"),
    ),
    "tokens": (
        *("tests/tokens", "tests/keys", "tests/testing/test_tokens.py", *_CORE),
        "tests/revocation/test_memory.py",
        *(f"tests/web/test_{it}.py" for it in ("refusals", "telemetry", "credentials", "places")),
        *(f"tests/web/test_{it}.py" for it in ("clients", "dpop", "validate_false")),
    ),
    "possession": (
        *("tests/possession", "tests/web/test_dpop.py", "tests/web/test_certificates.py"),
        *("tests/testing/test_dpop_client.py", "tests/advisories", "tests/test_arguments.py"),
        *("tests/settings/test_redis_addresses.py", "tests/tokens/test_explanation.py"),
    ),
    "revocation": (
        *("tests/revocation", "tests/settings/test_redis_addresses.py", "tests/test_arguments.py"),
    ),
    "web": (
        *("tests/web", "tests/guards", "tests/audit", "tests/mcp/test_users.py"),
        *("tests/test_invariants.py", "tests/test_errors_page.py", "tests/test_public_api.py"),
        *("tests/testing/test_overrides.py", "tests/tokens/test_verify_token.py"),
        *("tests/settings/test_tenants.py", "tests/revocation/test_memory.py"),
        "tests/test_arguments.py",
        # They start proxies, which is slow, or processes, in which nothing is changed.
        "--deselect=tests/web/test_forward_auth.py::TestBehindARealProxy",
        *(f"--ignore=tests/web/test_{it}.py" for it in ("telemetry", "uvicorn")),
        *(f"--ignore=tests/guards/test_{it}.py" for it in ("no_side_effects", "renamed_fastapi")),
    ),
}
_PYTEST = (
    *("-x", "-pno:terminal", "-pno:cacheprovider", "--hypothesis-profile=mutation"),
    "-Wignore::pytest.PytestAssertRewriteWarning",  # of Hypothesis, which is imported here
)
# What fails needs no smaller example.
settings.register_profile(
    "mutation", deadline=None, database=None, phases=[Phase.explicit, Phase.generate]
)


def main() -> int:
    """Run the mutants, print those that survive, and keep the score."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("room", choices=TESTS)
    parser.add_argument("--sample", type=int, help="so many mutants, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="those whose id this expression finds")
    parser.add_argument("--seconds", type=float, default=30, help="of the CPU, for each mutant")
    parser.add_argument("--tests", nargs="+", help="in place of those of the room")
    parser.add_argument("--imported", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    tests = [*_PYTEST, *(options.tests or TESTS[options.room])]
    if options.imported:
        mutant = next(it for it in _mutants(options.room) if it.id == options.only)
        sys.meta_path.insert(0, ChangedModule(mutant))
        one = OneMutant(mutant, options.imported, options.seconds, imported=True)
        return pytest.main(tests, plugins=[one])

    ids = [it.id for it in _mutants(options.room) if re.search(options.only, it.id)]
    chosen = set(ids)
    if options.sample:
        chosen = set(random.Random(options.seed).sample(ids, options.sample))  # noqa: S311
    known = SURVIVORS[options.room].keys() & chosen
    survived: set[str] = set()

    def done(mutant: Mutant, noticed: bool) -> None:  # noqa: FBT001
        if not noticed:
            survived.add(mutant.id)
        if not noticed and mutant.id not in known:
            _write(f"survived: {mutant.id} (line {mutant.line}) {mutant.change}")

    began, process = monotonic(), os.getpid()
    with TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "tests.mutation", options.room]
        command += ["--tests", *options.tests] if options.tests else []
        command += ["--seconds", str(options.seconds), "--imported", directory, "--only"]
        several = (it for it in _mutants(options.room) if it.id in chosen)
        forks = Forks(
            several, _files(options.room), Path(directory), options.seconds, command, done
        )
        code = 1
        try:
            code = pytest.main(tests, plugins=[forks])
        finally:  # whatever happens in a fork, the directory is not its own
            if os.getpid() != process:
                os._exit(code)
    if code:
        return int(code)
    score = {
        "noticed": len(chosen - survived),
        "survived": len(survived - known),
        "equivalent": len(survived & known),
        "mutants": len(ids),
        "command": " ".join(["python -m tests.mutation", *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    _write(f"{score}, {monotonic() - began:.0f} s")
    if not (options.only or options.tests):
        scores = {**json.loads(SCORES.read_text()), options.room: score}
        SCORES.write_text(json.dumps(scores, indent=2, sort_keys=True) + "\n")
    return 1 if survived - known else 0


def _files(room: str) -> list[Path]:
    return sorted((ROOT / "jwt_deps" / room).glob("*.py"))


def _mutants(room: str) -> Iterator[Mutant]:
    for path in _files(room):
        excluded = excluded_lines(path)
        yield from (mutant for mutant in mutants(path) if mutant.line not in excluded)


def excluded_lines(path: Path) -> set[int]:
    """The lines that need not be reached: those for an older FastAPI, for instance."""
    coverage = Coverage(data_file=None, config_file=False)
    coverage.set_option("report:exclude_lines", EXCLUDED)
    _, _, excluded, *_ = coverage.analysis2(str(path))
    return set(excluded)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
