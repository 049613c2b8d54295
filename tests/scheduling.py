"""Under `pytest -n`: what shares servers stays on one worker, and what takes longest is first.

A worker gets whole groups. A group is a module, or a directory whose tests share servers for the
session: each worker would start them again.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = ["BySharedServers", "longest_first", "unmeasured"]

#: The groups that wait for a server, start processes or a browser, the longest first.
LONGEST = (
    "tests/revocation/test_redis.py",
    "tests/agentos/test_side_by_side.py",
    "tests/agentos/test_guard.py",
    "tests/agentos/test_isolation.py",
    "tests/agentos/test_r",
    "tests/providers/",
    "tests/test_package.py",
    "tests/test_benchmarks.py",
    "tests/revocation/test_processes.py",
    "tests/browser/test_site.py",
)
#: By the beginning of their names, the modules that share servers.
SHARED = ("tests/agentos/test_r", "tests/providers/")

SIDE_BY_SIDE = "tests/agentos/test_side_by_side.py"

#: Measured, these take two or three times as long; other tests reach each line that they do.
UNMEASURED = (
    "tests/test_benchmarks.py",
    "tests/agentos/test_isolation.py",
    "tests/guards/test_renamed_fastapi.py",
    *(
        f"tests/guards/test_promises_{of}.py"
        for of in ("applications", "guard", "requirements", "routers")
    ),
    *(
        f"tests/advisories/test_{attack}.py"
        for attack in (
            *(
                "alg_none",
                "cross_algorithm",
                "embedded_jwk",
                "jwt_bomb",
                "key_urls_and_certificates",
            ),
            *("kid_injection", "psychic_signatures", "rsa_key_as_hmac_secret"),
            *("signature_stripping", "wrong_tokens"),
        )
    ),
    "tests/keys/test_bounds.py::TestUnderLoad::test_made_up_key_ids_by_the_thousand",
    "tests/tokens/test_verification.py",
    "tests/vectors/test_wycheproof.py",
    "tests/web/test_garbage.py",
)


def group_of(nodeid: str) -> str:
    """The name of the group that a test belongs to."""
    module = nodeid.partition("::")[0]
    return next((shared for shared in SHARED if module.startswith(shared)), module)


def longest_first(items: list[pytest.Item]) -> None:
    """Put the long groups first, and leave the order as it is otherwise."""
    places = {group: place for place, group in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(group_of(item.nodeid), len(places)))


def unmeasured(items: list[pytest.Item]) -> None:
    """Pause the coverage in those that take much longer with it."""
    for item in items:
        if item.nodeid.startswith(UNMEASURED):
            item.add_marker("no_cover")
        elif item.nodeid.startswith(SIDE_BY_SIDE) and "[base_app-" in item.nodeid:
            item.add_marker("no_cover")  # the same questions as of the other wiring


class BySharedServers(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out the groups, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
