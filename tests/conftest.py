"""What every test can rely on.

The package is imported once the run has begun, because `tests/measuring.py` wants to see it.
"""

import gc
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings

from tests.measuring import measure
from tests.scheduling import BySharedServers, longest_first
from tests.thinning import few_cases

# A busy machine is no counterexample: by default an example of more than 200 ms fails.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _no_settings_of_another_test() -> Iterator[None]:
    """No test reads another one's."""
    from jwt_deps import get_settings  # noqa: PLC0415

    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


#: The folders whose tests send most of the requests by clients outside of a `with` block.
_ONE_EVENT_LOOP = {"audit", "guards", "web"}


@pytest.fixture(scope="module", autouse=True)
def _one_event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """There, clients share an event loop, where each request takes half its time to start one."""
    if request.path.parent.name not in _ONE_EVENT_LOOP:
        yield
        return
    from starlette.testclient import TestClient  # noqa: PLC0415 - which needs an HTTP client

    with pytest.MonkeyPatch.context() as patch, start_blocking_portal() as portal:
        patch.setattr(TestClient, "portal", portal)
        yield


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that were verified, because the token cache did not know them."""
    from jwt_deps.tokens import authenticate  # noqa: PLC0415
    from jwt_deps.tokens.verify import verify  # noqa: PLC0415

    asked: list[str] = []

    async def noting(token: str, *given: Any, **options: Any) -> Any:
        asked.append(token)
        return await verify(token, *given, **options)

    monkeypatch.setattr(authenticate, "verify", noting)
    return asked


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What runs the tests that are marked with `anyio`."""
    return "asyncio"


def pytest_configure(config: pytest.Config) -> None:
    """A complete run shows which lines it reached, and whether the conformance report is true."""
    measure(config)
    for name in list(os.environ):  # no test sees the settings of its machine
        if name.upper().startswith("JWT_") and not name.upper().startswith("JWT_DEPS_"):
            del os.environ[name]
    from tests.conformance.evidence import Evidence  # noqa: PLC0415

    config.pluginmanager.register(Evidence(), "conformance")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector 15,000 tests, and the applications of the test that runs."""
    gc.disable()
    collected = yield
    gc.enable()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    return collected


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A worker that ends with a long module would end alone."""
    few_cases(config, items)
    longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> BySharedServers | None:
    """Under `-n`, servers that several modules share are started on one worker."""
    return BySharedServers(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, because many tests wait: for a server, or a browser."""
    return 1 + (os.cpu_count() or 1)


REQUIRE_ALL = bool(os.environ.get("JWT_DEPS_REQUIRE_ALL"))


def _not_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although JWT_DEPS_REQUIRE_ALL is set: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is required, a test that was skipped proves nothing, and fails."""
    report = yield
    _not_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module."""
    report = yield
    _not_skipped(report)
    return report
