"""The principal of a request: the settings' claim names applied to verified claims."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from jwt_deps.errors import AuthError, ClaimError, Reason
from jwt_deps.jose import value_at
from jwt_deps.revocation import ISSUER_USER_ID, ISSUERS, SESSION_ID, USER_ID
from jwt_deps.settings import IssuerSettings, UserPrefix

from .claims import ClaimMapping, Claims
from .scopes import Grants

#: What this package puts on `request.state`.
STATE_NAMES = (
    "claims",
    "token",
    "authenticated",
    "user_id",
    "session_id",
    "scopes",
    "dependencies",
    "session_state",
    "audience",
)


def user_id_of(claims: Claims, settings: IssuerSettings) -> str:
    """The user's id, without the issuer's prefix.

    Raises:
        ClaimError: the claim is absent, empty, or neither a string nor an integer.
    """
    name = settings.user_id_claim
    user_id = _identifier_at(claims, name)
    if user_id is None:
        raise ClaimError(Reason.CLAIM_MISSING, name, "it names no user")
    return user_id


def client_id_of(claims: Claims) -> str | None:
    """The client that a token was issued to: `client_id` (RFC 9068 §2.2), else `azp`."""
    for name in ("client_id", "azp"):
        client = claims.at(name)
        if isinstance(client, str):
            return client
    return None


def scopes_of(claims: Claims, settings: IssuerSettings) -> frozenset[str]:
    """The scopes granted, by `scopes_claim`, else from `scope` (RFC 8693 §4.2), else from `scp`."""
    names = settings.policy.scopes_claims
    if not names:
        names = ("scp",) if claims.view().get("scope") is None else ("scope",)
    return _granted(claims, names)


def _granted(claims: Claims, names: tuple[str, ...]) -> frozenset[str]:
    granted: set[str] = set()
    for name in names:
        granted |= _texts_of(value_at(claims.view(), name))
    return frozenset(granted)


def _texts_of(value: Any) -> AbstractSet[str]:
    """What a claim grants: a claim of any other shape grants nothing."""
    if isinstance(value, str):
        # RFC 6749 §3.3: separated by spaces, and by nothing else that Unicode calls white space.
        return {*value.split(" ")} - {""}
    items = value if isinstance(value, list) else [value]
    # SCIM's form of roles and groups (RFC 7643 §2.4).
    texts: list[Any] = [
        it.get("value", it.get("name")) if isinstance(it, dict) else it for it in items
    ]
    return {*texts} if all(isinstance(it, str) for it in texts) else set()


class Principal:
    """The principal of a request: verified claims, and the settings that say what they mean.

    Immutable. What requests read often is found once, because a client sends one token many times.

    Attributes:
        claims: empty for an anonymous principal.
        settings: those of the token's issuer.
        error: why the principal is anonymous, which only `validate=False` allows.
        token: the encoded token; `None` where there was none.
        fixed_state: what `request.state` has in each request; lists of it are to be copied.
    """

    __slots__ = (
        "_grants",
        "_identity",
        "_prefix",
        "_roles",
        "claims",
        "error",
        "fixed_state",
        "scopes",
        "settings",
        "token",
    )

    def __init__(
        self,
        claims: Claims,
        settings: IssuerSettings,
        error: AuthError | None = None,
        token: str | None = None,
        prefix: UserPrefix | None = None,
    ) -> None:
        self.claims = claims
        self.settings = settings
        self.error = error
        self.token = token
        self._prefix = prefix
        self.scopes = scopes_of(claims, settings)
        self._identity: tuple[Any, ...] | None = None
        self._roles: frozenset[str] | None = None
        self._grants: Grants | None = None
        members = claims.view()
        user_id = _identifier(value_at(members, settings.user_id_claim))
        if prefix is not None and user_id is not None:
            user_id = f"{prefix.text}{user_id}"
        self.fixed_state: Mapping[str, Any] = {
            "authenticated": error is None,
            "token": token,
            "claims": claims,
            # A token that names no user is a good one; a dependency on the user refuses it.
            "user_id": user_id,
            "session_id": _identifier(value_at(members, settings.session_id_claim)),
            "scopes": sorted(self.scopes),
            "audience": members.get("aud"),
        }

    def __repr__(self) -> str:
        return f"<Principal with {self.claims!r}>"

    def require_authenticated(self) -> "Principal":
        """Return this principal, or raise the error that made it anonymous."""
        if self.error is not None:
            raise self.error
        return self

    @property
    def user_id(self) -> str:
        """The user's id.

        Raises:
            AuthError: the one that made the principal anonymous, or what `user_id_of` raises.
        """
        user_id: str | None = self.fixed_state["user_id"]
        if user_id is None:  # `user_id_of` raises the error that says why
            return user_id_of(self.require_authenticated().claims, self.settings)
        return user_id

    def refuse_foreign_user(self) -> None:
        """Refuse a user id that begins with another issuer's prefix."""
        user_id, name = self.fixed_state["user_id"] or "", self.settings.user_id_claim
        if self._prefix is not None and self._prefix.is_foreign(user_id):
            words = f"its {name} begins as the user ids of another issuer do"
            raise ClaimError(Reason.CLAIM_INVALID, name, words)

    @property
    def session_id(self) -> str | None:
        """The session's id; `None` when the token names none."""
        return _identifier_at(self.claims, self.settings.session_id_claim)

    @property
    def dependencies(self) -> ClaimMapping:
        """The claims that `dependencies_claims` names, as far as the token has them."""
        return _selection(self.claims, self.settings.dependencies_claims)

    @property
    def session_state(self) -> ClaimMapping:
        """The claims that `session_state_claims` names, as far as the token has them."""
        return _selection(self.claims, self.settings.session_state_claims)

    def revocable(self) -> Mapping[str, Any]:
        """The claims, and the ids that `CurrentUser` has: a source may compare no claim of them."""
        user_id, session_id = self.fixed_state["user_id"], self.fixed_state["session_id"]
        own_id = user_id and user_id.removeprefix(self._prefix.text if self._prefix else "")
        ids = {USER_ID: user_id, ISSUER_USER_ID: own_id, SESSION_ID: session_id}
        # A token of one name is refused, too, if another name of its issuer was revoked.
        names = self.settings.policy.issuers
        if len(names) > 1 and self.claims.iss in names:
            return {**self.claims.view(), **ids, ISSUERS: names}
        return {**self.claims.view(), **ids}

    @property
    def grants(self) -> Grants:
        """The scopes granted, to compare needed ones with."""
        if self._grants is None:
            self._grants = Grants(self.scopes, self.settings.admin_scope)
        return self._grants

    @property
    def roles(self) -> frozenset[str]:
        """The roles granted, from the claims that `roles_claim` names."""
        if self._roles is None:
            self._roles = _granted(self.claims, self.settings.policy.roles_claims)
        return self._roles

    @property
    def identity(self) -> tuple[Any, ...]:
        """What `CurrentUser` is made of, in the order of its fields."""
        if self._identity is None:
            # Where no issuer is configured, `iss` is whatever the token has there.
            issuer: Any = self.claims.iss
            self._identity = (
                self.user_id,
                self.session_id,
                self.scopes,
                self.claims,
                issuer if isinstance(issuer, str) else None,
                client_id_of(self.claims),
                self.roles,
            )
        return self._identity

    def write_state(self, state: dict[str, Any]) -> None:
        """Write `request.state`, in the names and shapes of the AgentOS middleware.

        Lists and dicts are new each time: they are the endpoint's own.
        `dependencies` and `session_state` that the application's lifespan put there stay, unless
        the token has such claims.
        """
        fixed, settings = self.fixed_state, self.settings
        # An override of `get_claims` gave claims without a token: what it wrote itself stays.
        written = state if self.token is not None else {}
        written.update(fixed)
        written["audience"] = self.claims.aud
        written["scopes"] = [*fixed["scopes"]]
        found = self.dependencies if settings.dependencies_claims else None
        if found or "dependencies" not in written:
            written["dependencies"] = dict(found or ())
        found = self.session_state if settings.session_state_claims else None
        if found or "session_state" not in written:
            written["session_state"] = dict(found or ())
        if written is not state:
            state.update((name, it) for name, it in written.items() if it or name not in state)


def _identifier(value: Any) -> str | None:
    """The identifier in a claim: a text or an integer; `None` for anything else."""
    if isinstance(value, str):
        return None if not value or value.isspace() else value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _identifier_at(claims: Claims, name: str) -> str | None:
    value: Any = claims.at(name)
    found = _identifier(value)
    if found is None and not (value is None or isinstance(value, str)):
        raise ClaimError(Reason.CLAIM_INVALID, name, f"its {name} is not an identifier")
    return found


def _selection(claims: Claims, names: list[str]) -> ClaimMapping:
    values = {name: claims.at(name) for name in names}
    return ClaimMapping({name: value for name, value in values.items() if value is not None})
