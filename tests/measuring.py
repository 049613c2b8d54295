"""Where coverage is measured, which makes a test take two to three times as long.

It is paused in the tests below, which ask thousands of times what other tests ask too. All other
tests together have to reach every line and branch.
"""

from typing import Any

import pytest

__all__ = ["Measuring"]

#: By the beginning of their names, tests that reach nothing that others do not. Where clients share
#: an event loop it is whole modules: a thread is measured from its start or never.
UNMEASURED = tuple(
    f"tests/{name}"
    for name in (
        "advisories/test_alg_none",
        "advisories/test_cross_algorithm",
        "advisories/test_kid_injection",
        "advisories/test_public_key_as_shared_secret.py::test_any_text",
        "advisories/test_public_key_as_shared_secret.py::test_random_secrets",
        "advisories/test_signature_stripping",
        "advisories/test_wrong_tokens",
        "agentos/test_isolation",
        "agentos/test_mcp",
        "agentos/test_side_by_side",
        "browser/",
        "conformance/",
        "differential/",
        "guards/test_holes_exclusions",
        "guards/test_holes_moved_routes",
        "guards/test_promises_applications",
        "guards/test_promises_guard",
        "guards/test_promises_requirements",
        "guards/test_promises_routers",
        "guards/test_renamed_fastapi",
        "keys/test_bounds.py::TestUnderLoad",
        "mutation/",
        "permissions/",
        "property/",
        "providers/",
        "recipes/",
        "revocation/test_any_course",
        "test_architecture",
        "test_benchmarks",
        "test_docs",
        "test_package",
        "test_public_api",
        "tokens/test_verification",
        "vectors/",
        "web/test_garbage",
    )
)


class Measuring:
    """A plugin that lets pytest-cov pause in those tests, and in their fixtures."""

    def __init__(self) -> None:
        self._on = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Measure a test with its fixtures, or neither."""
        self._measure(item.config, on=not item.nodeid.startswith(UNMEASURED))

    def _measure(self, config: pytest.Config, *, on: bool) -> None:
        controller: Any = getattr(config.pluginmanager.getplugin("_cov"), "cov_controller", None)
        if controller is not None and self._on != on:
            (controller.resume if on else controller.pause)()
            self._on = on
