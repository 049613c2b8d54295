"""Ask all libraries, and report the disagreements without a reason."""

import argparse
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

from tests.differential.inputs import inputs
from tests.differential.libraries import ACCEPTED, OTHERS, of_jose, ours

__all__ = ["compare"]

_SHOWN = 3  # examples of each


def reasons() -> dict[tuple[str, str], str]:
    """Why this package and another one disagree: by the other one and what was said."""
    read = tomllib.loads(Path(__file__).with_name("reasons.toml").read_text())
    return {
        (library, f"{of} {cause}"): reason["why"]
        for reason in read["reasons"]
        for of in reason["of"]
        for library in reason["libraries"]
        for cause in reason["causes"]
    }


def compare(seed: int, number: int) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Return how often each documented disagreement occurred, and all others."""
    several = list(inputs(seed, number))
    told = {name: [tell(it) for it in several] for name, tell in OTHERS.items()}
    told["jose"] = of_jose(several)
    known, counted, unknown = reasons(), Counter[tuple[str, str]](), []
    for position, one in enumerate(several):
        own = ours(one)
        for name, answers in told.items():
            other = answers[position]
            if (own == ACCEPTED) == (other == ACCEPTED):
                continue
            of = "token" if one.jwks is None else "keys"
            cause = f"{of} {f'accepted: {other}' if own == ACCEPTED else f'refused: {own}'}"
            if (name, cause) in known:
                counted[name, cause] += 1
            else:
                unknown.append(f"{name}, {cause}\n    {one.changed}\n    {one}")
    return counted, unknown


def main() -> int:
    """Compare, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    counted, unknown = compare(options.seed, options.inputs)
    lines = [f"{number:6}  {name}, {cause}" for (name, cause), number in sorted(counted.items())]
    lines += [f"\nwithout a reason: {it}" for it in unknown]
    seconds = time.perf_counter() - began
    lines.append(
        f"{options.inputs} inputs of seed {options.seed} in {seconds:.0f} s: {counted.total()} "
        f"disagreements with a reason, {len(unknown)} without"
    )
    sys.stdout.write("\n".join([*lines, ""]))
    return bool(unknown)


if __name__ == "__main__":
    sys.exit(main())
