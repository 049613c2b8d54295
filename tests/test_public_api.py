"""The public names: those of the contract, with docstrings and types."""

import importlib
import inspect
import pickle
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import jwt_deps

#: `DESIGN.md` §2, and the tree of errors.
CONTRACT = {
    "JWTSettings",
    "TokenSource",
    "get_settings",
    "get_token",
    "get_claims",
    "Claims",
    "claims_as",
    "current_user_id",
    "current_session_id",
    "current_client_id",
    "get_scopes",
    "get_dependencies",
    "get_session_state",
    "CurrentUser",
    "SessionState",
    "optional",
    "mcp_settings",
    "mount_resource_metadata",
    "require_scopes",
    "require_any_scope",
    "require_acr",
    "granted",
    "All",
    "require_roles",
    "require_any_role",
    "require_claim",
    "require",
    "protected_router",
    "ProtectedRouter",
    "protect",
    "jwt_guard",
    "public",
    "create_access_token",
    "set_token_cookie",
    "clear_token_cookie",
    "until_expiry",
    "verify_token",
    "JWTDepsError",
    "ConfigurationError",
    "AuthError",
    "MissingTokenError",
    "InvalidRequestError",
    "CrossSiteRequestError",
    "InsufficientPermissionsError",
    "InsufficientScopeError",
    "InsufficientAuthenticationError",
    "InvalidTokenError",
    "MalformedTokenError",
    "UnknownKeyError",
    "SignatureError",
    "ExpiredTokenError",
    "ClaimError",
    "Reason",
    "ConfirmationError",
    "DPoPProofError",
    "DPoPNonceError",
    "ReplaysUnavailableError",
    "TooManyProofsError",
    "DPoPMode",
    "ClientCertificate",
    "ReplayStore",
    "MemoryReplayStore",
    "RedisReplayStore",
    "StoreUnavailableError",
    "Step",
    "IssuerSettings",
    "JWKSCacheSettings",
    "KeyHealth",
    "KeySource",
    "forward_auth",
    "ApiKey",
    "Introspection",
    "EntraTenants",
    "KeysUnavailableError",
    "AnyRevocation",
    "MemoryRevocations",
    "RedisRevocations",
    "RevocationHealth",
    "RevocationSource",
    "RevocationUnavailableError",
    "RevokedTokenError",
    "StatusLists",
    "WhenStale",
}
MODULES = [
    importlib.import_module(f"jwt_deps.{module.name}")
    for module in pkgutil.iter_modules(jwt_deps.__path__)
]


def test_the_package_exports_the_contract_and_nothing_else() -> None:
    """Names are promises."""
    assert CONTRACT == set(jwt_deps.__all__)
    assert sorted(jwt_deps.__all__) == jwt_deps.__all__


OBJECTS: dict[str, Any] = {name: getattr(jwt_deps, name) for name in sorted(CONTRACT)}


def test_every_public_object_has_a_docstring() -> None:
    """One sentence of purpose at least, of its own."""
    assert [] == [
        name
        for name, found in OBJECTS.items()
        if not inspect.getdoc(found) or found.__doc__ == type(found).__doc__
    ]


def test_every_class_and_function_is_of_the_package() -> None:
    """Tracebacks and pickles say `jwt_deps`; a pickle of one comes back as the same object."""
    named = {name: it for name, it in OBJECTS.items() if hasattr(it, "__qualname__")}
    classes = [it for it in named.values() if isinstance(it, type)]

    assert {} == {name: it for name, it in named.items() if it.__module__ != "jwt_deps"}
    assert classes == pickle.loads(pickle.dumps(classes))  # noqa: S301 - our own


def test_the_reference_has_every_public_name() -> None:
    """As a user imports it, and nothing else of the package but two modules."""
    page = (Path(__file__).parent.parent / "docs" / "reference.md").read_text()
    # mkdocstrings would take `jwt_deps.forward_auth` for the module of that name.
    page = page.replace("::: jwt_deps.web.forward_auth.", "::: jwt_deps.")
    names = re.findall(r"^::: jwt_deps\.(\w+)$", page, re.MULTILINE)

    assert sorted([*CONTRACT, "audit", "testing"]) == sorted(names)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_names_exist(module: Any) -> None:
    """`__all__` of every module is sorted and true."""
    names = getattr(module, "__all__", [])

    assert all(hasattr(module, name) for name in names)
    assert len(set(names)) == len(names)


def test_the_package_is_marked_as_typed() -> None:
    """PEP 561."""
    assert (Path(jwt_deps.__file__).parent / "py.typed").exists()


def test_a_system_without_fork() -> None:
    """Windows has none, and the package can be imported there."""
    program = "import os; del os.fork, os.register_at_fork; import jwt_deps"

    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - its own program
