"""Pipe bytes into `jwt-deps` in its own process."""

import subprocess

from .processes import COMMAND, PATIENCE, environment


def pipe(stdin: str | bytes, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `jwt-deps` to its end, with this on its standard input."""
    done = subprocess.run(  # noqa: S603 - its own command
        [*COMMAND, *arguments],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        env=environment(**variables),
        timeout=PATIENCE,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )
