"""Override the user or the settings of an application in a test."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from fastapi import FastAPI
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import SigningKey
from jwt_deps.settings import IssuerSettings, JWTSettings, get_settings
from jwt_deps.tokens import ClaimNames, Claims, access_token_claims
from jwt_deps.web import (
    RouteGuard,
    applications_in,
    get_claims,
    get_token,
    guards_in,
    refuse_without,
    settings_for,
)

from .members import merge

_ABSENT = object()
_LIFETIME = 300  # seconds


def acting_as(  # noqa: PLR0913 - each by name
    app: FastAPI,
    user_id: str,
    *,
    scopes: str | Iterable[str] = (),
    roles: str | Iterable[str] = (),
    session_id: str | None = None,
    claims: Mapping[str, Any] | None = None,
    issuer: str | None = None,
) -> AbstractContextManager[None]:
    """Treat every request as the given user's while the block runs, whatever token it has.

        with acting_as(app, "alice", scopes=["notes:read"]):
            assert client.get("/notes").status_code == 200

    Guards accept the request; a missing scope or role is still refused with 403. No keys need to be
    configured. The claims have the names that the settings of the matched route read, and the
    times and the issuer of a real token.

    It replaces `get_claims` and `get_token` in the `dependency_overrides` of the application and
    of the FastAPI applications mounted in it, and restores them at the end. Blocks can be nested
    and can overlap: the one entered last applies.

    Args:
        app: the application under test.
        user_id: the user's id.
        scopes: the granted scopes, or one string with spaces between them; default none.
        roles: the granted roles, one text or several; default none.
        session_id: the session's id; default none.
        claims: further claims; they replace those of the same name, and `None` removes one.
        issuer: with several issuers, the `iss` of the user's; `None` is that in `claims`, or the
            first. Where `issuers` is a function, one has to be named, and the function is called.

    Returns:
        A context manager.
    """
    granted = scopes if isinstance(scopes, str) else tuple(scopes)
    given_roles = roles if isinstance(roles, str) else tuple(roles)
    key, issuer = SigningKey.generate("HS256"), issuer or (claims or {}).get("iss")

    async def claims_of(connection: HTTPConnection) -> dict[str, Any]:
        names = ClaimNames.of(await _issuer_of(connection, issuer))
        defaults = access_token_claims(
            names,
            user_id,
            scopes=granted,
            roles=given_roles,
            session_id=session_id,
            claims=None,
            now=time.time(),
            expires_in=_LIFETIME,
            issuer=issuer,
        )
        return merge(defaults, claims)

    # FastAPI calls these in place of the dependencies that would look at the scopes of `Security`.
    async def acting_claims(connection: HTTPConnection, needed: SecurityScopes) -> Claims:
        if needed.scopes:
            await refuse_without(connection, needed.scopes)
        return Claims(await claims_of(connection))

    async def acting_token(connection: HTTPConnection, needed: SecurityScopes) -> str:
        if needed.scopes:
            await refuse_without(connection, needed.scopes)
        # Signed with a key that no settings accept: usable in this block only.
        return key.sign({"alg": key.algorithm, "typ": "JWT"}, await claims_of(connection))

    return _Overrides(app, {get_claims: acting_claims, get_token: acting_token})


def using_settings(app: FastAPI, settings: JWTSettings) -> AbstractContextManager[None]:
    """Use other settings in an application while the block runs, in all of it.

        with using_settings(app, tokens.settings), TestClient(app) as client:
            client.get("/notes", headers=bearer(tokens("alice")))

    It overrides `get_settings`, and takes the place of the settings that guards were given, in the
    FastAPI applications mounted in it too. So no key of a real issuer is requested. To replace
    `get_settings` alone, set `app.dependency_overrides[get_settings]`.

    Args:
        app: the application under test.
        settings: the settings to use.

    Returns:
        A context manager.
    """

    # Not a coroutine: the OpenAPI document and the audit need the settings without a request.
    def replacement() -> JWTSettings:
        return settings

    return _Overrides(app, {get_settings: replacement}, settings)


async def _issuer_of(connection: HTTPConnection, issuer: str | None) -> IssuerSettings:
    settings = await settings_for(connection)
    accepted = settings.server.accepted
    if issuer is None and accepted.tenants is not None:
        raise ValueError("issuers is a function: give issuer, the iss of the user's")
    await accepted.resolve(issuer)
    if issuer is None and (named := accepted.named):
        return next(iter(named.values()))
    return settings.settings_of(issuer) or settings


@dataclass(slots=True, eq=False)
class _Override:
    """A replaced entry: a dependency of an application, or the settings of a guard.

    Attributes:
        owner: the application, or the guard.
        key: the dependency, or the name of the attribute.
        replacement: the value that this block set.
        former: the value before it, which `remove` restores.
    """

    owner: FastAPI | RouteGuard
    key: Any
    replacement: Any
    former: Any = field(init=False)

    def __post_init__(self) -> None:
        self.former = self._entries.get(self.key, _ABSENT)

    @property
    def _entries(self) -> dict[Any, Any]:
        owner = self.owner  # a test can give an application another dictionary
        return owner.dependency_overrides if isinstance(owner, FastAPI) else vars(owner)

    def apply(self) -> None:
        """Put the replacement into its owner."""
        self._entries[self.key] = self.replacement

    def remove(self, others: "Iterable[_Override]") -> None:
        """Remove the replacement from its owner, or from the `former` of a later block.

        Where it is in neither, the test has set another override since, which stays.
        """
        entries = self._entries
        if entries.get(self.key, _ABSENT) is self.replacement:
            if self.former is _ABSENT:
                del entries[self.key]
            else:
                entries[self.key] = self.former
            return
        for other in others:
            if other.owner is self.owner and other.former is self.replacement:
                other.former = self.former


# The overrides of all blocks that have not ended: overlapping blocks need not be nested.
_open: list[_Override] = []
# The OpenAPI documents from before them, because FastAPI keeps the one that it has built.
_documents: dict[FastAPI, dict[str, Any] | None] = {}


def _build_document_anew(app: FastAPI) -> None:
    """Let an application build its OpenAPI document anew in a block; after the last, restore it."""
    if any(override.owner is app for override in _open):
        _documents.setdefault(app, app.openapi_schema)
        app.openapi_schema = None
    else:
        app.openapi_schema = _documents.pop(app)


class _Overrides(AbstractContextManager[None]):
    """Replace dependencies in an application and those mounted in it until the block ends.

    Not `contextlib.contextmanager`: its result can decorate a function, and around an `async` test
    it would end before the first request.
    """

    def __init__(
        self,
        app: FastAPI,
        replacements: Mapping[Any, Callable[..., Any]],
        settings: JWTSettings | None = None,
    ) -> None:
        if not isinstance(app, FastAPI):
            raise ConfigurationError(
                "not_an_application",
                f"acting_as and using_settings take a FastAPI application, not "
                f"{type(app).__name__}: for a router, make an application that includes it.",
            )
        self._app = app
        self._replacements = replacements
        self._settings = settings
        self._entered: list[list[_Override]] = []

    def __enter__(self) -> None:
        entered = [_Override(*one) for one in self._wanted()]
        for override in entered:
            override.apply()
        _open.extend(entered)
        self._entered.append(entered)
        self._change_documents(entered)

    def _wanted(self) -> Iterator[tuple[FastAPI | RouteGuard, Any, Any]]:
        """Yield owner, key and value of each replacement."""
        for app in applications_in(self._app):
            for dependency, replacement in self._replacements.items():
                yield app, dependency, replacement
            if self._settings is not None:
                for guard in guards_in(app):
                    if guard.settings is not None:
                        further = guard.settings.server.credentials
                        with_them = self._settings.with_credentials(further)
                        yield guard, "settings", with_them if further else self._settings

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        entered = self._entered.pop()
        for override in entered:
            _open.remove(override)
            override.remove(_open)
        self._change_documents(entered)

    @staticmethod
    def _change_documents(entered: Iterable[_Override]) -> None:
        for owner in {override.owner for override in entered}:
            if isinstance(owner, FastAPI):
                _build_document_anew(owner)
