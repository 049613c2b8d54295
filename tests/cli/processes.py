"""Run `jwt-deps` in its own process and stop it with Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

_SCRIPT = Path(sysconfig.get_path("scripts"), "jwt-deps")

#: The installed console script; what it does, where the environment is a layered one.
COMMAND = (
    [str(_SCRIPT)]
    if _SCRIPT.exists()
    else [sys.executable, "-c", "from jwt_deps.cli.app import main; main()"]
)
PATIENCE = 60

#: The last line that the demo prints before the server's log begins.
LAST_WORDS = "Ctrl-C stops it."


def environment(**variables: str) -> dict[str, str]:
    """The environment, without the proxies and the colours of this machine."""
    unwanted = ("COLUMNS", "FORCE_COLOR", "NO_COLOR")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in unwanted and not name.lower().endswith("_proxy")
    }
    return {**kept, **variables}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `jwt-deps` to its end."""
    return subprocess.run(  # noqa: S603 - its own command
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(**variables),
        timeout=PATIENCE,
        check=False,
    )


@dataclass
class Demo:
    """A demo that serves: what it printed first, and after its end the rest."""

    process: subprocess.Popen[str]
    welcome: list[str] = field(default_factory=list)
    output: str = ""
    log: str = ""

    def line_after(self, start: str) -> str:
        """The line below the first one that begins like that."""
        position = next(i for i, line in enumerate(self.welcome) if line.startswith(start))
        return self.welcome[position + 1]

    def interrupt(self) -> int:
        """Press Ctrl-C; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.output, self.log = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


@contextmanager
def serving(*arguments: str, **variables: str) -> Iterator[Demo]:
    """Run `jwt-deps demo`; the block runs once it has said everything that it has to say."""
    with subprocess.Popen(  # noqa: S603 - its own command
        [*COMMAND, "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment(**variables),
    ) as process:
        demo = Demo(process)
        try:
            reader = Thread(target=_read_welcome, args=(demo,))
            reader.start()
            reader.join(PATIENCE)
            yield demo
        finally:
            demo.interrupt()


def plain(text: str) -> str:
    """The text without the colours that a terminal is told."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def _read_welcome(demo: Demo) -> None:
    for line in demo.process.stdout or ():
        demo.welcome.append(plain(line.rstrip("\n")))
        if LAST_WORDS in line:
            return
