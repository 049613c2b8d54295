"""Run the tests of a room on its mutants, and print those that survive."""

import argparse
import random
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
#: The tests of each room, those that notice most first.
TESTS = {
    "jose": (
        *("tests/jose", "tests/testing/test_signing.py", "tests/vectors", "tests/advisories"),
        *("tests/test_errors_page.py", "tests/property"),
    )
}
_TIMEOUT = 300  # seconds; an endless loop is noticed

#: Loads one module from a changed text, in the process that runs the tests.
_RUN = """
import sys
from importlib.machinery import SourceFileLoader
path, tests = sys.argv[1], sys.argv[2:]
changed = sys.stdin.buffer.read()
get = SourceFileLoader.get_code
def get_code(self, name):
    if self.path == path:
        return compile(changed, path, "exec")
    return get(self, name)
SourceFileLoader.get_code = get_code
import pytest
sys.exit(pytest.main(["-q", "-x", "--no-cov", "-p", "no:cacheprovider", *tests]))
"""


def survives(mutant: Mutant, tests: tuple[str, ...]) -> bool:
    """Whether the tests pass."""
    try:
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-c", _RUN, str(mutant.path), *tests],
            cwd=ROOT,
            input=mutant.source.encode(),
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> int:
    """Run, and print the score."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("room", choices=TESTS)
    parser.add_argument("--sample", type=int, help="so many mutants, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    known = tomllib.loads(Path(__file__).with_name("survivors.toml").read_text())[options.room]
    files = sorted((ROOT / "jwt_deps" / options.room).glob("*.py"))
    several = [mutant for path in files for mutant in mutants(path)]
    chosen = several
    if options.sample:
        chosen = random.Random(options.seed).sample(several, options.sample)  # noqa: S311
    surviving = unknown = 0
    with ThreadPoolExecutor(options.processes) as pool:
        results = pool.map(lambda it: survives(it, TESTS[options.room]), chosen)
        for mutant, survived in zip(chosen, results, strict=True):
            surviving += survived
            if survived and mutant.id not in known:
                unknown += 1
                place = f"{mutant.path.relative_to(ROOT)}:{mutant.line}"
                sys.stdout.write(f"{place}: {mutant.id}\n")
                sys.stdout.flush()
    noticed = len(chosen) - surviving
    sys.stdout.write(
        f"{options.room}: {noticed} of {len(chosen)} mutants noticed "
        f"({100 * noticed / len(chosen):.1f} %), {surviving - unknown} known to change nothing, "
        f"{len(several)} in all\n"
    )
    return bool(unknown)


if __name__ == "__main__":
    sys.exit(main())
