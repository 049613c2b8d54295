"""Typical mistakes are found at start, with a sentence that helps."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, NewType, TypeVar, cast

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Query, Security
from fastapi.testclient import TestClient
from typing_extensions import TypeAliasType

from jwt_deps import (
    Claims,
    ConfigurationError,
    CurrentUser,
    JWTSettings,
    claims_as,
    current_user_id,
    get_claims,
    get_settings,
    granted,
    jwt_guard,
    optional,
    protect,
    protected_router,
    public,
    require,
    require_acr,
    require_any_role,
    require_any_scope,
    require_claim,
    require_roles,
    require_scopes,
)
from jwt_deps.testing import acting_as, using_settings
from tests.web.serving import SETTINGS


async def health() -> str:
    return "ok"


#: Paths in the place of settings, and a class or a function in place of an instance.
NO_SETTINGS: list[Any] = [["/health"], JWTSettings, get_settings]
NO_MODELS: list[Any] = [dict, "Profile", None]
WITH_AN_APPLICATION: dict[str, Callable[[Any], object]] = {
    "acting_as": lambda app: acting_as(app, "alice"),
    "using_settings": lambda app: using_settings(app, SETTINGS),
}


@pytest.mark.parametrize("where", ["application", "inclusion"])
def test_a_guard_without_its_parentheses_stops_the_start(where: str) -> None:
    """`Depends(jwt_guard)` would make its settings and exclusions input, and guard nothing."""

    def build() -> None:
        app = FastAPI(dependencies=[Depends(jwt_guard)] if where == "application" else None)
        app.get("/x")(health)
        router = protected_router(settings=SETTINGS)
        router.get("/y")(health)
        app.include_router(router, dependencies=[Depends(jwt_guard)])
        TestClient(app).get("/y")

    with pytest.raises(ConfigurationError, match="without being called"):
        build()


def test_settings_are_never_a_body() -> None:
    """A forgotten `Depends` must not let a client bring its own keys."""
    app = FastAPI()

    with pytest.raises(ConfigurationError, match="never input"):

        @app.get("/x")
        async def read(settings: JWTSettings) -> None: ...


def test_settings_are_a_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `Depends` they are those of the environment."""
    monkeypatch.setenv("JWT_SECRET_KEY", "x" * 32)
    app = FastAPI()

    @app.get("/x")
    async def read(settings: Annotated[JWTSettings, Depends(get_settings)]) -> str:
        return settings.cookie_name

    assert "access_token" == TestClient(app).get("/x").json()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        *(
            pytest.param(partial(jwt_guard, it), "settings takes a JWTSettings", id=f"settings-{n}")
            for n, it in enumerate(NO_SETTINGS)
        ),
        *(
            pytest.param(partial(claims_as, it), "takes a pydantic model", id=f"model-{it}")
            for it in NO_MODELS
        ),
        # FastAPI would see it with the first request that has a token.
        pytest.param(partial(optional, Claims), "come from a verified token", id="optional"),
        pytest.param(lambda: public()(health), "without parentheses", id="public"),
        # The routes of a router would stay guarded, and it has no overrides.
        pytest.param(partial(public, APIRouter()), "cannot mark APIRouter", id="public-router"),
        *(
            pytest.param(partial(use, APIRouter()), "make an application that includes it", id=name)
            for name, use in WITH_AN_APPLICATION.items()
        ),
        # FastAPI would look for routes in a function.
        pytest.param(
            lambda: FastAPI().include_router(cast("Any", protected_router)),
            r"include_router\(protected_router\(\.\.\.\)\)",
            id="router-factory",
        ),
    ],
)
def test_what_is_called_with_something_else_says_so(call: Callable[[], object], said: str) -> None:
    """When the route is written, not when it is asked."""
    with pytest.raises(ConfigurationError, match=said):
        call()


@pytest.mark.parametrize(
    "factory",
    [
        require_scopes,
        require_any_scope,
        require_roles,
        require_any_role,
        granted,
        require_claim,
        require,
        require_acr,
        claims_as,
        optional,
        jwt_guard,
    ],
)
@pytest.mark.parametrize("as_parameter", [False, True])
def test_a_factory_that_was_not_called_stops_the_start(factory: Any, *, as_parameter: bool) -> None:
    """FastAPI would take its arguments from the client, and nothing would be checked."""
    own = [] if as_parameter else [Depends(factory)]

    async def read(user: Any = Depends(factory if as_parameter else health)) -> None: ...

    with pytest.raises(ConfigurationError, match=rf"Depends\({factory.__name__}\(\.\.\.\)\)"):
        FastAPI().get("/x", dependencies=own)(read)


@pytest.mark.parametrize(
    "dependency", [require_scopes("a"), current_user_id, jwt_guard(SETTINGS), granted("a", "b")]
)
def test_a_dependency_without_depends_stops_the_start(dependency: Any) -> None:
    """Wherever FastAPI takes dependencies."""
    for build in (
        lambda: FastAPI(dependencies=[dependency]).get("/x")(health),
        lambda: APIRouter(dependencies=[dependency]).get("/x")(health),
        lambda: FastAPI().get("/x", dependencies=[dependency])(health),
        lambda: protected_router(settings=SETTINGS, dependencies=[dependency]).get("/x")(health),
        lambda: protect(FastAPI(), SETTINGS, dependencies=[dependency]),
    ):
        with pytest.raises(ConfigurationError, match=r"FastAPI takes Depends\("):
            build()


def _with_default(kind: Any, dependency: Any) -> Callable[..., Any]:
    async def own(user_id: Any = dependency) -> None: ...

    own.__annotations__["user_id"] = kind
    return own


@pytest.mark.parametrize(
    "dependency",
    [current_user_id, get_claims, require_scopes("a"), jwt_guard(SETTINGS), optional(CurrentUser)],
)
@pytest.mark.parametrize("kind", [str, str | None, Any])
@pytest.mark.parametrize("place", ["annotation", "default", "default_of_a_dependency"])
def test_a_parameter_without_depends_stops_the_start(
    dependency: Any, kind: Any, place: str
) -> None:
    """FastAPI would read the user's id from the query."""

    async def read(user_id: Any) -> None: ...

    if place == "annotation":
        read.__annotations__["user_id"] = Annotated[kind, dependency]
    else:
        read.__annotations__["user_id"], read.__defaults__ = kind, (dependency,)
    if place == "default_of_a_dependency":
        read.__defaults__ = (Depends(_with_default(kind, dependency)),)

    with pytest.raises(ConfigurationError, match=r"FastAPI takes Depends\("):
        FastAPI().get("/x")(read)


_UserId = Annotated[str, Depends(current_user_id)]
_Named = TypeAliasType("_Named", _UserId)
_T = TypeVar("_T")
_Perhaps = TypeAliasType("_Perhaps", _T | None, type_params=(_T,))


def _of_a_dependency(user_id: _UserId | None = None) -> str | None:
    return user_id


@pytest.mark.parametrize(
    "kind",
    [
        _UserId | None,
        _Named | None,
        Annotated[str, current_user_id] | None,
        Annotated[str, Security(optional(current_user_id))] | None,
        Annotated[_UserId | None, Query()],
        Annotated[_UserId, Query()],
        Annotated[_UserId, Body()],
        NewType("_OfAUser", _UserId),
        TypeAliasType("_NamedAgain", _Named) | None,
        _Perhaps[_UserId],
        list[_UserId],
        Annotated[Any, Depends(_of_a_dependency)],
    ],
)
@pytest.mark.parametrize(
    "build",
    [
        lambda: protect(FastAPI(), SETTINGS),
        lambda: FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))]),
        lambda: protected_router(settings=SETTINGS),
    ],
)
def test_depends_inside_of_a_type_stops_the_start(build: Callable[[], Any], kind: Any) -> None:
    """FastAPI would read the user's id from the query, or from the body."""

    async def read(user_id: Any) -> None: ...

    read.__annotations__["user_id"] = kind
    served, app = build(), FastAPI()
    served.post("/x")(read)
    if isinstance(served, APIRouter):
        app.include_router(served)

    with pytest.raises(ConfigurationError, match=r"parameter 'user_id' of .* has Depends"):
        TestClient(app if isinstance(served, APIRouter) else served).post("/x")


def test_depends_inside_of_a_type_in_an_application_that_is_mounted_stops_the_start() -> None:
    """It has no start of its own, and goes by the guard further out."""
    app, inner = protect(FastAPI(), SETTINGS), FastAPI()
    inner.get("/x")(_of_a_dependency)
    app.mount("/m", inner)

    with pytest.raises(ConfigurationError, match="'user_id' of '_of_a_dependency' has Depends"):
        TestClient(app).get("/m/x")


class _Column:
    """What is compared to make a query, as by SQLAlchemy."""

    __hash__ = object.__hash__

    def __eq__(self, _: object) -> Any:
        raise TypeError


def test_what_a_type_says_besides_is_not_compared() -> None:
    async def read(ids: Annotated[list[Annotated[int, _Column(), _Column()]], Query()]) -> int:
        return sum(ids)

    app = protect(FastAPI(), SETTINGS)
    app.get("/x")(public(read))

    assert 3 == TestClient(app).get("/x?ids=1&ids=2").json()


@pytest.mark.parametrize("dependency", [current_user_id, optional(current_user_id)])
def test_tools_that_show_the_fields_of_a_dataclass_can_show_a_dependency(dependency: Any) -> None:
    """FastAPI's `Depends` is one, and its field is what it depends on."""
    assert {} == asdict(dependency)
    assert dependency == dependency != get_claims  # noqa: PLR0124 - itself alone


def test_a_router_factory_tells_of_the_attributes_of_a_router_alone() -> None:
    """Any other one is not there."""
    assert not hasattr(protected_router, "something_else")


@pytest.mark.parametrize("factory", [partial(require_scopes, "a"), partial(jwt_guard, SETTINGS)])
def test_a_partial_of_a_factory_stops_the_start(factory: Any) -> None:
    """It makes a dependency when it is called, and checks nothing."""
    with pytest.raises((ConfigurationError, ValueError)):
        FastAPI().get("/x", dependencies=[Depends(factory)])(health)


def test_an_exclusion_whose_route_is_removed_later_stops_nothing() -> None:
    """Exclusions that match no route are a mistake at start, and are looked for once."""
    app = protect(FastAPI(), SETTINGS, exclude=["/health"])
    app.get("/health")(health)
    client = TestClient(app)
    assert 200 == client.get("/health").status_code

    app.router.routes[:] = [it for it in app.routes if getattr(it, "path", None) != "/health"]

    assert 404 == client.get("/health").status_code
