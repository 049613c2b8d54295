"""The types of the public API, checked by mypy and pyright, never run."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, assert_type

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from pydantic import BaseModel

from jwt_deps import (
    All,
    Claims,
    CurrentUser,
    IssuerSettings,
    JWKSCacheSettings,
    JWTSettings,
    KeyHealth,
    KeysUnavailableError,
    ProtectedRouter,
    SessionState,
    StatusLists,
    claims_as,
    create_access_token,
    current_client_id,
    current_session_id,
    current_user_id,
    get_claims,
    get_dependencies,
    get_scopes,
    get_settings,
    get_token,
    granted,
    mcp_settings,
    optional,
    protect,
    protected_router,
    public,
    require,
    require_claim,
    require_roles,
    require_scopes,
    set_token_cookie,
)


class Profile(BaseModel):
    sub: str


class Service(FastAPI): ...


def is_member(claims: Claims) -> bool:
    return "tenant" in claims


async def is_member_later(claims: Claims) -> bool:
    return is_member(claims)


async def calls(connection: HTTPConnection, scopes: SecurityScopes) -> None:
    """Each dependency answers with what it says."""
    assert_type(await get_token(connection, scopes), str)
    assert_type(await get_claims(connection, scopes), Claims)
    assert_type(await current_user_id(connection, scopes), str)
    assert_type(await current_session_id(connection, scopes), str | None)
    assert_type(await get_scopes(connection, scopes), frozenset[str])
    assert_type(await get_dependencies(connection, scopes), Mapping[str, Any])
    assert_type(await claims_as(Profile)(connection, scopes), Profile)
    assert_type(await require_scopes("a")(connection, scopes), None)
    assert_type(await require_roles("a")(connection, scopes), None)
    assert_type(await require_claim("plan", "team", 7, 1.5)(connection, scopes), None)
    assert_type(await require(is_member, description="members")(connection, scopes), None)
    assert_type(await require(is_member_later)(connection, scopes), None)
    assert_type(await granted("agents", "read")(connection, scopes), frozenset[str] | All)
    assert_type(await current_client_id(connection, scopes), str)
    assert_type(get_settings(), JWTSettings)


class Member(CurrentUser):
    """A subclass is constructed and injected as its base is."""


def constructed() -> None:
    """The classes are what they say."""
    user = CurrentUser("alice", None, frozenset(), Claims({}))
    assert_type(user, CurrentUser)
    assert_type(user.id, str)
    assert_type(user.session_id, str | None)
    assert_type(user.scopes, frozenset[str])
    assert_type(user.claims, Claims)
    assert_type(user.issuer, str | None)
    assert_type(user.client_id, str | None)
    assert_type(user.roles, frozenset[str])
    assert_type(Member("a", "s", frozenset({"x"}), Claims({}), client_id="web"), Member)
    assert_type(SessionState({"cart": 1}), SessionState)
    match user:
        case CurrentUser(name, session):
            assert_type(name, str)
            assert_type(session, str | None)


def by_default(
    user: CurrentUser = Depends(CurrentUser),
    state: SessionState = Depends(SessionState),
    member: Annotated[Member | None, Depends(optional(Member))] = None,
) -> tuple[str, SessionState, Member | None]:
    return user.id, state, member


async def own_async(user: Annotated[CurrentUser, Depends()]) -> int:
    return len(user.id)


def own_sync(user_id: Annotated[str, Depends(current_user_id)]) -> bytes:
    return user_id.encode()


def factories() -> None:
    """`optional` adds `None` to whatever the dependency answers."""
    assert_type(optional(current_user_id), Callable[..., Awaitable[str | None]])
    assert_type(optional(own_async), Callable[..., Awaitable[int | None]])
    assert_type(optional(own_sync), Callable[..., Awaitable[bytes | None]])
    assert_type(protected_router(APIRouter(), prefix="/x"), ProtectedRouter)
    assert_type(protect(Service()), Service)


def settings_by_keyword() -> None:
    """Keywords are known by name and by type: an editor completes them, a misspelt one is refused.

    What a keyword takes is wider than what the field holds afterwards.
    """
    settings = JWTSettings(
        secret_key="...",
        algorithm=["HS256", "HS512"],
        token_source="cookie",
        jwks_cache={"ttl": 700},
        issuers={"a": IssuerSettings(secret_key="...")},
        _env_prefix="STAFF_",
    )
    assert_type(settings.leeway, float)
    assert_type(settings.env_prefix, str)
    JWTSettings(algoritm="HS256")  # type: ignore[call-arg]
    IssuerSettings(isuer="a")  # type: ignore[call-arg]
    JWTSettings(leeway="a")  # type: ignore[arg-type]
    mcp_settings(resourse="a")  # type: ignore[call-arg]


def issued(settings: JWTSettings, jwk: dict[str, object]) -> None:
    """A token is a string, and each form of a key is taken."""
    assert_type(create_access_token("alice", scopes=["a"], roles=["b"], claims={"plan": 1}), str)
    assert_type(create_access_token("alice", settings=settings, signing_key=jwk), str)
    create_access_token("alice", session_id=None, expires_in=0.5, signing_key=b"...")
    create_access_token("alice", "notes")  # type: ignore[call-arg]


@public
async def health() -> str:
    """A marked endpoint keeps its type."""
    return "ok"


async def keys(settings: JWTSettings, error: KeysUnavailableError) -> None:
    """What is said of fetched keys, and of the issuers whose they are."""
    assert_type(settings.key_health(), dict[str, KeyHealth])
    assert_type(await settings.refresh_keys(), dict[str, KeyHealth])
    assert_type(settings.issuers, dict[str, IssuerSettings] | None)
    assert_type(settings.settings_of("https://issuer.example"), IssuerSettings | None)
    assert_type(settings.jwks_cache, JWKSCacheSettings)
    assert_type(error.retry_after, int)


def status_lists(issuer: IssuerSettings, settings: JWTSettings) -> None:
    """Status lists take the settings of one issuer, whichever class they have."""
    assert_type(StatusLists(issuer, hosts={"issuer.example"}), StatusLists)
    assert_type(StatusLists(settings, hosts={"issuer.example"}), StatusLists)


async def endpoint(
    user: Annotated[CurrentUser, Depends()],
    state: Annotated[SessionState, Depends()],
    profile: Annotated[Profile, Depends(claims_as(Profile))],
    response: Response,
) -> None:
    """Annotations read as the values that they are."""
    assert_type(user.id, str)
    assert_type(user.session_id, str | None)
    assert_type(user.scopes, frozenset[str])
    assert_type(user.claims, Claims)
    assert_type(user.claims.exp, float | None)
    assert_type(state["plan"], Any)
    assert_type(profile.sub, str)
    assert_type(await health(), str)
    set_token_cookie(response, "token", samesite="lax")
