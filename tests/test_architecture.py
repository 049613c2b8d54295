"""Does every module know only those before it, and who may know python-jose and FastAPI?"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jwt_deps

PACKAGE = Path(jwt_deps.__file__).parent

#: Each module may import those above it. The line divides the pure core from the edge.
CORE = [
    "reasons",
    "errors",
    "telemetry",
    "serialization",
    "uris",
    "nonces",
    "replays",
    "redis_replays",
    "signatures",
    "key_material",
    "thumbprints",
    "keys",
    "addresses",
    "fetching",
    "discovery",
    "freshness",
    "limits",
    "flights",
    "locks",
    "revocation_entries",
    "revocation",
    "revocation_health",
    "revocation_store",
    "redis_revocations",
    "published",
    "key_cache",
    "publishers",
    "paths",
    "values",
    "bounded",
    "issuers",
    "resource",
    "issuer_table",
    "senders",
    "revocation_settings",
    "settings",
    "environment",
    "tokens",
    "claim_checks",
    "profiles",
    "verification",
    "authentication",
    "status_lists",
    "explanation",
    "claims",
    "principals",
    "recognition",
    "mcp",
    "proofs",
    "certificates",
    "confirmation",
]
EDGE = [
    "challenges",
    "responses",
    "explained",
    "routers",
    "routes",
    "pointers",
    "overrides",
    "subprotocols",
    "notes",
    "fresh_nonces",
    "at_hand",
    "credentials",
    "identities",
    "dependencies",
    "step_up",
    "guards",
    "gaps",
    "known_settings",
    "security_schemes",
    "security_requirements",
    "openapi",
    "applications",
    "inventory",
    "resource_metadata",
    "router",
    "cookies",
    "__init__",
]
USERS_SIDE = ["audit", "testing", "demo", "commands", "cli"]
ORDER = [*CORE, *EDGE, *USERS_SIDE]
WEB_FRAMEWORKS = {"fastapi", "starlette"}


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """Absolute names of everything that a file imports, at any depth."""
    inside = ["jwt_deps", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    """A module knows only modules before it; nothing imports the package's front door."""
    module = module_of(path)
    own = {name.split(".")[1] for name in imports(path) if name.startswith("jwt_deps.")}
    known = {name for name in own if name in ORDER}

    later = {name for name in known if ORDER.index(name) >= ORDER.index(module)} - {module}

    assert module in ORDER
    assert set() == later


@pytest.mark.parametrize("name", CORE)
def test_the_core_knows_no_web_framework(name: str) -> None:
    """It can be tested with strings and dicts, and used without FastAPI."""
    roots = {imported.split(".")[0] for imported in imports(PACKAGE / f"{name}.py")}

    assert set() == roots & WEB_FRAMEWORKS


def test_one_module_knows_python_jose() -> None:
    """So that it can be judged, and replaced, by reading one file."""
    users = {
        module_of(path)
        for path in FILES
        if any(name.split(".")[0] == "jose" for name in imports(path))
    }

    assert {"signatures"} == users


def test_one_module_knows_status_codes() -> None:
    """Everybody else raises typed errors."""
    users = {
        module_of(path)
        for path in FILES
        if any(
            name in {"fastapi.HTTPException", "fastapi.WebSocketException"}
            for name in imports(path)
        )
    }

    assert {"responses"} == users


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_house_rules(path: Path) -> None:
    """No `assert` for control flow, no bare `except`, no postponed annotations, no long files."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))

    assert not any(isinstance(node, ast.Assert) for node in nodes)
    assert not any(isinstance(node, ast.ExceptHandler) and node.type is None for node in nodes)
    assert "__future__.annotations" not in set(imports(path))
    assert len(path.read_text().splitlines()) <= 320
