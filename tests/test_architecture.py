"""Each room imports only the rooms before it; one module each reads python-jose and FastAPI."""

import ast
import importlib
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import jwt_deps

PACKAGE = Path(jwt_deps.__file__).parent

#: Each room may import those before it. The core is what stands before `web`.
ROOMS = [
    "errors",
    "telemetry",
    "concurrency",
    "jose",
    "keys",
    "possession",
    "revocation",
    "settings",
    "tokens",
    "web",
    "agentos",
    "audit",
    "testing",
    "cli",
]
CORE = ROOMS[: ROOMS.index("web")]
WEB_FRAMEWORKS = {"fastapi", "starlette"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    """Absolute names of everything that a file imports, at any depth."""
    inside = ["jwt_deps", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{prefix}.{alias.name}" for alias in node.names}
    return frozenset(found)


FILES = sorted(PACKAGE.rglob("*.py"))


def wrong_in(found: Callable[[Path], set[str]], files: Iterable[Path] = FILES) -> dict[str, Any]:
    """What is found in modules in which there should be nothing."""
    return {module_of(path): wrong for path in files if (wrong := found(path))}


def test_imports_go_one_way() -> None:
    """A room knows only the rooms before it."""

    def later(path: Path) -> set[str]:
        room = room_of(path)
        known = {name.split(".")[1] for name in imports(path) if name.startswith("jwt_deps.")}
        return {*ROOMS[ROOMS.index(room) + 1 :]} & known if room in ROOMS else set()

    assert {} == wrong_in(later)


#: Rooms whose `__init__` hands on what other rooms import; their modules are private to them.
WITH_A_FACE = {"jose", "keys", "possession", "revocation", "settings", "tokens", "web"}
#: Rooms whose `__init__` is what users import.
FOR_USERS = {"agentos", "audit", "testing", "cli"}


def imported_from(room: str, path: Path) -> set[str]:
    """What a file of another room imports from a room: names of its face, or of its modules."""
    prefix = f"jwt_deps.{room}."
    if room_of(path) == room:
        return set()
    return {name.removeprefix(prefix) for name in imports(path) if name.startswith(prefix)}


@pytest.mark.parametrize("room", sorted(WITH_A_FACE))
def test_a_room_is_imported_by_its_face(room: str) -> None:
    """Other rooms import the names that its `__init__` hands on, and each of them."""
    face = {name.rpartition(".")[2] for name in imports(PACKAGE / room / "__init__.py")}

    assert face == set().union(*(imported_from(room, path) for path in FILES))


@pytest.mark.parametrize("room", sorted(FOR_USERS))
def test_a_room_for_users_is_imported_by_its_face(room: str) -> None:
    """Other rooms import what users can import."""
    face = importlib.import_module(f"jwt_deps.{room}")

    assert set(face.__all__) >= set().union(*(imported_from(room, path) for path in FILES))


def test_the_order_names_the_rooms_that_there_are() -> None:
    """Each once, and none that is gone."""
    assert sorted({room_of(path) for path in FILES} - {"__init__", "__main__"}) == sorted(ROOMS)


ROOT = Path(__file__).parent.parent
MAP = (ROOT / "docs" / "architecture.md").read_text()


def test_the_map_has_the_rooms() -> None:
    """The page, its drawing and `CONTRIBUTING.md` name them in their order."""
    drawing = (ROOT / "docs" / "assets" / "rooms.svg").read_text()
    drawn = re.findall(r'font-weight="bold">([a-z ·]+)<', drawing)
    chain = re.search(r"`errors`.*?`cli`", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)

    assert ROOMS == re.findall(r"^\| `(\w+)` \|", MAP, re.MULTILINE)
    assert [*ROOMS[:2:-1], " · ".join(ROOMS[:3])] == drawn
    assert chain is not None
    assert ROOMS == re.findall(r"`(\w+)`", chain[0])


def test_the_map_names_files_and_functions_that_there_are() -> None:
    """Each question has one file and one function; every other file on the page exists too."""
    decided = re.findall(r"^\| .*\? \| `([\w/]+\.py)` \| `(\w+)` \|", MAP, re.MULTILINE)
    missing = [
        (file, function)
        for file, function in decided
        if f"def {function}(" not in (PACKAGE / file).read_text()
    ]

    assert len(re.findall(r"^\| .*\? \|", MAP, re.MULTILINE)) == len(decided) > 0
    assert [] == missing
    assert all(
        (PACKAGE / file).exists() or (ROOT / file).exists()
        for file in re.findall(r"`(\w+/\w+\.py)`", MAP)
    )


def test_the_core_knows_no_web_framework() -> None:
    """It can be tested with strings and dicts, and used without FastAPI."""
    core = [path for path in FILES if room_of(path) in CORE]

    assert {} == wrong_in(
        lambda it: {name.split(".")[0] for name in imports(it)} & WEB_FRAMEWORKS, core
    )


def test_one_module_imports_python_jose() -> None:
    """It can be reviewed, and replaced, by reading one file."""
    users = {
        module_of(path)
        for path in FILES
        if any(name.split(".")[0] == "jose" for name in imports(path))
    }

    assert {"jose.signatures"} == users


def test_one_module_knows_status_codes() -> None:
    """All others raise typed errors."""
    users = {
        module_of(path)
        for path in FILES
        if any(
            name in {"fastapi.HTTPException", "fastapi.WebSocketException"}
            for name in imports(path)
        )
    }

    assert {"web.responses"} == users


def test_one_module_makes_locks() -> None:
    """All others have those that a forked process has new, `ForkSafeLock`."""
    locks = re.compile(r"\bthreading(\.| import .*)\b(R?Lock|Condition|\w*Semaphore)\b")
    users = {module_of(path) for path in FILES if locks.search(path.read_text())}

    assert {"concurrency"} == users


def test_house_rules() -> None:
    """No `assert` for control flow, no bare `except`, no postponed annotations."""

    def broken(path: Path) -> set[str]:
        return {*imports(path)} & {"__future__.annotations"} | {
            ast.unparse(node)
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Assert)
            or (isinstance(node, ast.ExceptHandler) and node.type is None)
        }

    assert {} == wrong_in(broken)


#: Names of FastAPI's and Starlette's that are private: a release may change any of them.
PRIVATE = {
    "_base_app",
    "_effective_candidates_version",
    "_frontend_routes",
    "_get_routes_version",
    "_handle_selected",
    "_IncludedRouter",
    "_iter_low_priority_routes",
    "_low_priority_routes",
    "_mark_routes_changed",
    "_routes_version",
    "effective_candidates",
    "effective_low_priority_routes",
    "effective_route_context",
    "effective_route_contexts",
    "fastapi_function_astack",
    "fastapi_inner_astack",
    "fastapi_middleware_astack",
    "frontend_path",
    "frontend_prefix",
    "frontend_specificity",
    "include_context",
    "included_router",
    "original_route",
    "original_router",
    "own_oauth_scopes",
    "parent_oauth_scopes",
    "security_scopes",
    "starlette_route",
}
PRIVATE_MODULES = ("fastapi.dependencies", "fastapi._compat", "starlette._")
#: `trial` asks whether what `_fastapi` reads is there.
READERS = {"web._fastapi", "web.trial"}
#: What else names one: the audit's walk reads the prefix of a `frontend()`, and a parameter of
#: `CurrentUser` is called as FastAPI's documentation calls it.
ALSO_READ: dict[str, set[str]] = {
    "web.dependencies": {"security_scopes"},
}


def names_read(tree: ast.AST) -> set[str]:
    """Attributes, and strings, which `getattr` and the ASGI scope take; not those of `_fastapi`."""
    own = {
        id(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "_fastapi"
    }
    return {
        name
        for node in ast.walk(tree)
        if id(node) not in own
        for name in (
            [node.attr]
            if isinstance(node, ast.Attribute)
            else [node.value]
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            else []
        )
    }


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("route.original_router", True, id="attribute"),
        pytest.param("getattr(route, 'original_router', None)", True, id="getattr"),
        pytest.param("scope['fastapi']['included_router']", True, id="scope"),
        pytest.param("{'include_context': 1}", True, id="another-string"),
        pytest.param("_fastapi.included_router(route)", False, id="of-the-one-module"),
        pytest.param("included_router = 1", False, id="a-variable"),
    ],
)
def test_what_counts_as_reading_a_private_name(source: str, *, found: bool) -> None:
    """Whatever way it is written."""
    assert found == bool(names_read(ast.parse(source)) & PRIVATE)


def test_one_module_reads_private_names_of_fastapi() -> None:
    """So that it can be judged, and changed, by reading one file; another tries it."""

    def read(path: Path) -> set[str]:
        tree = tree_of(path)
        private = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").split(".")[0] in WEB_FRAMEWORKS
            for alias in node.names
            if alias.name.startswith("_")
        }
        modules = {name for name in imports(path) if name.startswith(PRIVATE_MODULES)}
        return private | modules | names_read(tree) & {*PRIVATE, "fastapi"}  # the key of the scope

    assert ALSO_READ == wrong_in(read, [it for it in FILES if module_of(it) not in READERS])


def foreign_classes(tree: ast.AST) -> set[str]:
    """The names under which a module has imported something of FastAPI's or Starlette's."""
    return {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).split(".")[0] in WEB_FRAMEWORKS
        and not getattr(node, "level", 0)
    }


def replaced_in(tree: ast.AST) -> set[str]:
    """What of the foreign names has an attribute set or deleted, directly or by `setattr`."""
    foreign = foreign_classes(tree)
    targets: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.Delete):
            targets += node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets.append(node.target)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"setattr", "delattr", "vars"}
            and node.args
        ):
            targets.append(ast.Attribute(node.args[0], node.func.id))
    return {
        root
        for target in targets
        for one in ast.walk(target)
        if isinstance(one, ast.Attribute) and (root := root_of(one)) in foreign
    }


def root_of(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("FastAPI.openapi = mine", {"FastAPI"}, id="assigned"),
        pytest.param("FastAPI.openapi, x = mine, 1", {"FastAPI"}, id="unpacked"),
        pytest.param("FastAPI.openapi: Any = mine", {"FastAPI"}, id="annotated"),
        pytest.param("FastAPI.count += 1", {"FastAPI"}, id="added"),
        pytest.param("del FastAPI.openapi", {"FastAPI"}, id="deleted"),
        pytest.param("setattr(FastAPI, 'openapi', mine)", {"FastAPI"}, id="setattr"),
        pytest.param("routing.Route.matches = mine", {"routing"}, id="of-a-module"),
        pytest.param("app.openapi = mine", set(), id="an-instance"),
        pytest.param("Own.openapi = mine", set(), id="own"),
    ],
)
def test_what_counts_as_replacing(source: str, found: set[str]) -> None:
    """Whatever way it is written."""
    start = "from fastapi import FastAPI\nfrom starlette import routing\nfrom .own import Own\n"

    assert found == replaced_in(ast.parse(start + source))


def test_nothing_of_a_foreign_class_is_replaced() -> None:
    """What an application gets, it gets on its own instance."""
    assert {} == wrong_in(lambda path: replaced_in(tree_of(path)))
