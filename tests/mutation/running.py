"""Run tests on mutants: pytest collects once, and a fork of it changes the code for each mutant."""

import gc
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Container, Generator, Iterable, Iterator
from contextlib import suppress
from functools import _lru_cache_wrapper, lru_cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from itertools import accumulate, count
from pathlib import Path
from time import process_time
from types import CodeType, FunctionType
from typing import Any

import pytest
from coverage import Coverage, CoverageData

from tests.mutation.mutants import Mutant

__all__ = ["ChangedModule", "Forks", "OneMutant", "functions_in", "replace"]

PROCESSES = 2
#: The part of the time for tests in which the quickest case of each test runs, then the next one of
#: each, and so on. Then come those that execute a line near the mutant which few others do.
_QUICKEST = 1 / 3
_BRIEF = 0.01  # seconds: of a test that takes less all cases are among the quickest
_NEAR = 10  # lines


def _existing(kind: type[Any]) -> list[Any]:
    gc.unfreeze()  # `tests/conftest.py` freezes all that there is once the tests are collected
    # `isinstance` asks a proxy for the class of what it stands for, which may be gone.
    found = [it for it in gc.get_objects() if type(it) is kind]
    gc.freeze()
    return found


def functions_in(files: Container[str]) -> list[FunctionType]:
    """Return the functions that there are of the code in some files."""
    return [it for it in _existing(FunctionType) if it.__code__.co_filename in files]


class ChangedModule:
    """A finder that imports a mutant in place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._path, self._code = str(mutant.path), mutant.compile()

    def find_spec(self, name: str, path: Any = None, _: Any = None) -> ModuleSpec | None:
        """Find this module, and leave the others to the finders that follow."""
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.origin != self._path:
            return None
        spec.loader = loader = SourceFileLoader(name, self._path)
        loader.get_code = lambda fullname: self._code  # type: ignore[method-assign]  # noqa: ARG005
        return spec


def replace(functions: Iterable[FunctionType], module: CodeType) -> bool:
    """Give functions the code that they have in a changed module.

    Returns:
        Whether that brings the change: it does not where only an import executes it.
    """
    codes = {_key(code): code for code in _codes(module)}
    several = [(it, codes.get(_key(it.__code__), it.__code__)) for it in functions]
    changed = [(function, code) for function, code in several if function.__code__ != code]
    if any(function.__code__.co_freevars != code.co_freevars for function, code in changed):
        return False
    for function, code in changed:
        function.__code__ = code
    return bool(changed)


def _key(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


class _Recording:
    """A plugin of pytest that records which tests execute each line, and how long they take."""

    def __init__(self, directory: Path, files: set[str], caches: list[Any]) -> None:
        self._file, self._caches = directory / "seconds", caches
        self._seconds: dict[str, float] = {}
        self._coverage = Coverage(data_file=directory / "lines", include=files, config_file=False)
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        for cache in self._caches:
            cache.cache_clear()
        # What a fixture executes, the other tests of the module may notice.
        self._coverage.switch_context(_module(item.nodeid))
        began = process_time()
        done = yield
        self._seconds[item.nodeid] = process_time() - began
        return done

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        self._coverage.switch_context(item.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        self._coverage.save()
        self._file.write_text(json.dumps(self._seconds))


def _names(item: pytest.Item) -> set[str]:
    return {item.nodeid, _module(item.nodeid)}


def _module(test: str) -> str:
    return test.partition("::")[0]


@lru_cache(maxsize=1)
def _tests_of_lines(directory: Path, path: Path) -> dict[int, list[str]]:
    data = CoverageData(str(directory / "lines"))
    data.read()
    return data.contexts_by_lineno(str(path))


def _executing(directory: Path, mutant: Mutant) -> set[str]:
    lines = _tests_of_lines(directory, mutant.path)
    return {test for line in mutant.lines for test in lines.get(line, ()) if test}


class OneMutant:
    """A plugin of pytest that runs the tests which may notice a mutant.

    Args:
        mutant: what is changed.
        directory: has what was recorded.
        at_most: CPU seconds of tests; what they did not notice by then has survived.
        imported: whether the module was imported with the change.
    """

    def __init__(self, mutant: Mutant, directory: Path, at_most: float, *, imported: bool) -> None:
        self._directory, self._mutant, self._imported = directory, mutant, imported
        self._at_most = at_most
        self._seconds: dict[str, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Leave the tests that execute its lines; for an import, then those that use the file."""
        lines = _tests_of_lines(self._directory, self._mutant.path)
        first = found = _executing(self._directory, self._mutant)
        if self._imported:
            found = {_module(test) for tests in lines.values() for test in tests}
        near = {it + by for it in self._mutant.lines for by in range(-_NEAR, _NEAR)}
        several = sorted((lines.get(it, []) for it in near), key=len, reverse=True)
        others = {test: len(tests) for tests in several for test in tests}
        self._seconds = json.loads((self._directory / "seconds").read_text())
        items = [it for it in session.items if _names(it) & found]
        items.sort(key=lambda it: self._seconds[it.nodeid])
        cases: defaultdict[str, count[int]] = defaultdict(count)
        items.sort(
            key=lambda it: (
                self._seconds[it.nodeid] >= _BRIEF and next(cases[it.nodeid.partition("[")[0]])
            )
        )
        rest = len(self._within(items, _QUICKEST * self._at_most))
        items[rest:] = sorted(
            items[rest:],
            key=lambda it: (
                not _names(it) & first,
                min(others.get(name, len(items)) for name in _names(it)),
            ),
        )
        session.items = self._within(items, self._at_most)

    def _within(self, items: list[pytest.Item], seconds: float) -> list[pytest.Item]:
        ends = accumulate(self._seconds[it.nodeid] for it in items)
        return [it for it, end in zip(items, ends, strict=True) if end < seconds]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """End the process where a test takes much longer than it did."""
        signal.alarm(30 + 10 * int(self._seconds[item.nodeid]))


class Forks:
    """A plugin of pytest that gives each mutant a fork of this process.

    Args:
        mutants: each is compiled while the iteration is at it.
        files: those of the room.
        directory: for what is recorded.
        at_most: CPU seconds of tests for each mutant: those of a busy machine are the same.
        command: what runs the tests on an imported mutant, given its id.
        done: takes each mutant and whether the tests noticed it.
    """

    def __init__(
        self,
        mutants: Iterable[Mutant],
        files: list[Path],
        directory: Path,
        at_most: float,
        command: list[str],
        done: Callable[[Mutant, bool], None],
    ) -> None:
        self._mutants, self._files, self._directory = mutants, {str(it) for it in files}, directory
        self._at_most, self._command, self._done = at_most, command, done
        self._running: dict[int, Mutant | None] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run no test here. In a fork, which returns `None`, pytest goes on with its tests."""
        register = session.config.pluginmanager.register
        functions = functions_in(self._files)
        ours, found = set(map(id, functions)), _existing(_lru_cache_wrapper)
        caches = [it for it in found if id(it.__wrapped__) in ours]
        if self._in_fork(None):
            register(_Recording(self._directory, self._files, caches))
            return None
        if self._wait():
            raise pytest.UsageError("a test fails, and nothing was changed")
        for mutant in self._mutants:
            executed = _executing(self._directory, mutant)
            if self._in_fork(mutant):
                if not (executed and replace(functions, mutant.compile())):
                    os.execv(sys.executable, [*self._command, mutant.id])  # noqa: S606
                for cache in caches:
                    cache.cache_clear()
                one = OneMutant(mutant, self._directory, self._at_most, imported=False)
                register(one)
                one.pytest_runtestloop(session)
                return None
        while self._running:
            self._wait()
        return True

    def _in_fork(self, mutant: Mutant | None) -> bool:
        while len(self._running) >= PROCESSES:
            self._wait()
        child = os.fork()
        if child:
            self._running[child] = mutant
            return False
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        return True

    def _wait(self) -> int:
        child, status = os.wait()
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # the servers that its tests started
        mutant = self._running.pop(child)
        if mutant:
            self._done(mutant, bool(status))
        return status
