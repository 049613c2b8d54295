"""Under `pytest -n`: what shares servers stays on one worker, and what takes longest is first.

A worker gets whole groups. A group is a module, or a directory whose tests share servers for the
session: each worker would start them again.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = ["BySharedServers", "longest_first"]

#: The groups that wait for a server, start processes or a browser, the longest first.
LONGEST = (
    "tests/revocation/test_redis.py",
    "tests/agentos/",
    "tests/providers/",
    "tests/test_package.py",
    "tests/test_benchmarks.py",
    "tests/revocation/test_processes.py",
    "tests/browser/test_site.py",
    "tests/test_tutorial.py",
    "tests/web/test_telemetry.py",
    "tests/web/test_uvicorn.py",
    "tests/testing/test_plugin.py",
    "tests/web/test_forward_auth.py",
)
#: By the beginning of their names, the modules that share servers.
SHARED = ("tests/agentos/", "tests/providers/")


def group_of(nodeid: str) -> str:
    """The name of the group that a test belongs to."""
    module = nodeid.partition("::")[0]
    return next((shared for shared in SHARED if module.startswith(shared)), module)


def longest_first(items: list[pytest.Item]) -> None:
    """Put the long groups first, and leave the order as it is otherwise."""
    places = {group: place for place, group in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(group_of(item.nodeid), len(places)))


class BySharedServers(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out the groups, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
