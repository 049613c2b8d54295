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


def _tests(module: str, *names: str) -> list[str]:
    return [f"tests/{module}.py::test_{name}" for name in names]


#: By the beginning of their names, those that take two or three times as long when they are
#: measured, while other tests reach each line that they do. A pause ends the measurement of the
#: threads that serve at that moment, too.
UNMEASURED = (
    "tests/test_benchmarks.py",
    "tests/agentos/test_isolation.py",
    "tests/agentos/test_mcp.py",
    "tests/guards/test_renamed_fastapi.py",
    "tests/keys/test_bounds.py::TestUnderLoad::test_made_up_key_ids_by_the_thousand",
    "tests/permissions/test_sample.py",
    "tests/revocation/test_any_course.py",
    "tests/tokens/test_verification.py",
    "tests/vectors/test_wycheproof.py",
    "tests/web/test_garbage.py",
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
    *_tests("advisories/test_public_key_as_shared_secret", "any_text", "random_secrets"),
    *_tests(
        "agentos/test_guard",
        *("agents_that_resync", "attack_a_mount_of", "attack_a_service", "attack_a_spelling"),
        *("attack_scopes", "audience", "audit_shows", "below_a_mount", "service_account"),
    ),
    *_tests("agentos/test_refusals", "every_route"),
    *_tests(
        "agentos/test_side_by_side",
        *("admin_scope", "cookie_from", "data_", "every_route", "preflight", "refusal_"),
        *("run_has", "run_in", "several_keys", "tokens_in", "webhook", "without_isolation"),
    ),
    *_tests("cli/test_audit", "agentos_has_none"),
    *_tests("guards/test_holes_guards", "the_audit_does_not_call"),
    *_tests("guards/test_holes_moved_routes", "routes_moved_by_hand", "the_endpoint"),
    *_tests("guards/test_holes_overrides", "a_schema_and_an_audit", "an_override_of_the_settings"),
    *_tests("guards/test_promises_body", "a_refused_request", "a_wrong_body"),
    *_tests("guards/test_route_scopes", "scopes_are_enforced", "the_audit_shows"),
    *_tests("guards/test_sub_requests", "a_dependency_that_changes", "every_sub_request"),
    *_tests("jose/test_signatures", "a_changed_signature"),
    *_tests("settings/test_tenants", "a_thousand_tenants"),
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
