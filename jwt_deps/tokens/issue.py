"""Issue access tokens that a service's own settings accept (RFC 7519, RFC 9068)."""

import json
import math
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import uuid4

from jwt_deps.errors import (
    AuthError,
    ConfigurationError,
    SignatureError,
    UnknownKeyError,
)
from jwt_deps.jose import HMAC_ALGORITHMS, SigningKey, put_at
from jwt_deps.settings import (
    IssuerSettings,
    JWTSettings,
    ResourceServer,
    get_settings,
)

from .authenticate import principal_for
from .principal import Principal, user_id_of
from .verify import Verification

_LONGEST = 2**53  # seconds, up to which floats are exact


class ClaimNames(NamedTuple):
    """Which claims hold what, and which issuer and audience a token names.

    The first five are claim names or dotted paths; `iss` and `aud` are the accepted values. Of
    several each is the first; `None` where unchecked.
    """

    user: str = "sub"
    session: str = "session_id"
    scopes: str = "scope"
    roles: str | None = None
    audience: str = "aud"
    iss: str | None = None
    aud: str | None = None

    @classmethod
    def of(cls, settings: IssuerSettings) -> "ClaimNames":
        """Return the names that settings read."""
        policy = settings.policy
        return cls(
            user=settings.user_id_claim,
            session=settings.session_id_claim,
            scopes=next(iter(policy.scopes_claims), "scope"),
            roles=next(iter(policy.roles_claims), None),
            audience=settings.audience_claim,
            iss=next(iter(policy.issuers), None),
            aud=next(iter(policy.audiences), None),
        )


def create_access_token(  # noqa: PLR0913 - the contract's names
    user_id: str,
    *,
    scopes: Iterable[str] = (),
    roles: Iterable[str] = (),
    session_id: str | None = None,
    claims: Mapping[str, Any] | None = None,
    expires_in: float | timedelta = 3600,
    settings: JWTSettings | None = None,
    signing_key: str | bytes | Mapping[str, Any] | None = None,
) -> str:
    """Create an access token for a service that is its own issuer, as after a log-in.

        token = create_access_token("alice", scopes=["notes:read"])

    The token has `iat`, `exp` and `jti`, and `iss` and the audience where the settings check them.
    User, session, scopes and roles are in the claims that the settings name. The token is checked
    before it is returned, so that the same settings accept it.

    Args:
        user_id: the user's id, for the claim that `user_id_claim` names.
        scopes: the granted scopes, or one string with spaces between them; they become a string
            in the claim that `scopes_claim` names, `scope` by default (RFC 8693 §4.2).
        roles: the granted roles, or one of them; they become a list in the claim that
            `roles_claim` names.
        session_id: the session's id, for the claim that `session_id_claim` names.
        claims: further claims; they replace those of the same name. With a table of issuers,
            their `iss` says whose token it is; with a function, give that issuer's `settings`.
        expires_in: seconds until the token expires, rounded up; or a `timedelta`.
        settings: those of the service; `None` is `get_settings()`.
        signing_key: the private key, in PEM or as a JWK; `None` is `secret_key`, for HS256, HS384
            and HS512. Its public half is what the settings have. The header's `kid` is that of
            the JWK or of the configured JWK Set, or else the key's thumbprint (RFC 7638).

    Returns:
        The token, a JWS in compact serialization.

    Raises:
        ValueError: an argument cannot become part of a token, or the settings would refuse the
            token; the sentence names the claim and no value.
        ConfigurationError: `signing_key`: there is no key to sign with, or it does not match the
            settings' keys and algorithms. Also what `get_settings` raises.
    """
    if not isinstance(user_id, str):
        raise ValueError("user_id is not a string: pass str(...) of a number")  # noqa: TRY004
    if settings is None:
        settings = get_settings()
    if isinstance(expires_in, timedelta):
        expires_in = expires_in.total_seconds()
    seconds: object = expires_in
    if not isinstance(seconds, int | float) or not 0 < seconds < _LONGEST:
        raise ValueError("expires_in is not a positive number of seconds")
    further: object = {} if claims is None else claims
    if not isinstance(further, Mapping):
        raise ValueError("claims is not a mapping")  # noqa: TRY004 - as for what is in it
    issuer = _issuer_for(settings, further)
    key = _signing_key(issuer, signing_key)
    granted = scopes.split() if isinstance(scopes, str) else _listed("scopes", scopes)
    given_roles = [roles] if isinstance(roles, str) else _listed("roles", roles)
    members = access_token_claims(
        ClaimNames.of(issuer),
        user_id,
        scopes=granted,
        roles=given_roles,
        session_id=session_id,
        claims={"jti": uuid4().hex, **further},
        now=time.time(),
        expires_in=math.ceil(expires_in),
    )
    header = {"alg": key.algorithm, "typ": issuer.policy.typ}
    kid = _kid(issuer, key)
    if kid is not None:
        header["kid"] = kid
    token = _sign(key, header, members)
    try:
        made = _checked(token, settings.server)
        _require_same(made, user_id, session_id, granted, given_roles)
    except (SignatureError, UnknownKeyError):
        raise ConfigurationError(
            "signing_key",
            "signing_key is not the private half of a key that the settings accept: compare it "
            "with secret_key, verification_keys and jwks_file.",
        ) from None
    except AuthError as error:
        raise ValueError(f"the settings would refuse this token: {error}") from None
    return token


def access_token_claims(  # noqa: PLR0913 - each by name
    names: ClaimNames,
    user_id: str | None,
    *,
    scopes: Iterable[str],
    session_id: str | None,
    claims: Mapping[str, Any] | None,
    now: float,
    expires_in: float | None,
    roles: str | Iterable[str] = (),
    issuer: str | None = None,
    audience: str | list[str] | None = None,
) -> dict[str, Any]:
    """Put together the claims of an access token, as for `create_access_token`.

    `None` leaves a claim out; for `issuer` and `audience` it is what `names` has.

    Raises:
        ValueError: there are roles, and no name for them.
    """
    given_roles = [roles] if isinstance(roles, str) else list(roles)
    if given_roles and names.roles is None:
        raise ValueError(
            "roles: JWT_ROLES_CLAIM (roles_claim) is not set: let it name the claim that holds them"
        )
    members = {
        "iss": issuer or names.iss,
        "iat": int(now),
        "exp": None if expires_in is None else int(now + expires_in),
    }
    filled = {name: value for name, value in members.items() if value is not None}
    granted = scopes if isinstance(scopes, str) else " ".join(scopes)
    for path, value in (
        (names.audience, audience or names.aud),
        (names.user, user_id),
        (names.session, session_id),
        (names.scopes, granted or None),
        (names.roles, given_roles or None),
    ):
        if path is not None and value is not None:
            put_at(filled, path, value)
    return {**filled, **(claims or {})}


# OpenSSL checks a private RSA key when it is loaded, which takes 100 times as long as signing.
@lru_cache(maxsize=16)
def load_signing_key(
    text: str | bytes, algorithms: tuple[str | None, ...], kid: str | None = None
) -> SigningKey:
    """Load a signing key for the first algorithm that it fits; `None` is the key's usual one."""
    problem = ""
    for algorithm in algorithms:
        try:
            return SigningKey.load(text, algorithm, kid)
        except ValueError as error:
            problem = str(error)
    raise ValueError(problem)


def _listed(name: str, given: Iterable[str]) -> list[str]:
    if isinstance(given, Mapping):  # `{"admin": False}` would grant it
        raise ValueError(f"{name} is a mapping: give those that are granted")  # noqa: TRY004
    listed = list(given)
    if not all(isinstance(it, str) for it in listed):
        raise ValueError(f"{name} has one that is not a string")
    return listed


def _issuer_for(settings: JWTSettings, claims: Mapping[str, Any]) -> IssuerSettings:
    """The settings of the issuer whose token is made."""
    if settings.server.accepted.tenants is not None:
        # This function is not async, so it cannot ask that one; a cached answer may have expired.
        raise ValueError("issuers is a function: give settings of the one issuer whose token it is")
    found = settings.settings_of(claims.get("iss"))
    several = list((settings.server.accepted.named or {}).values())
    if found is None and "iss" not in claims and len(several) == 1:
        return several[0]
    if found is None:
        raise ValueError("the settings have several issuers, and iss in claims names none of them")
    return found


def _signing_key(
    issuer: IssuerSettings, given: str | bytes | Mapping[str, Any] | None
) -> SigningKey:
    if given is None:
        return _shared_secret(issuer)
    said = "it is no text, and no JWK"
    with suppress(AttributeError, TypeError):
        text = json.dumps(dict(given)) if isinstance(given, Mapping) else given
        try:
            return load_signing_key(text, issuer.algorithms)
        except ValueError as error:
            said = str(error)
    raise ConfigurationError(
        "signing_key", f"signing_key cannot be used with the accepted algorithms: {said}."
    )


def _shared_secret(issuer: IssuerSettings) -> SigningKey:
    if (files := issuer.policy.key_files) is not None:
        files.look()  # with a secret that was replaced, what it signs is accepted at once
    secret = issuer.policy.keys.secret  # the one that was read last, if its file is broken
    if secret is None:
        raise ConfigurationError(
            "signing_key",
            "There is no key to sign with: give signing_key, a private key for one of the accepted "
            "algorithms, or have a shared secret in secret_key.",
        )
    algorithm = next(name for name in issuer.algorithms if name in HMAC_ALGORITHMS)
    return SigningKey(uuid4().hex, algorithm, secret)


def _kid(issuer: IssuerSettings, key: SigningKey) -> str | None:
    """The name that the settings know the key by."""
    if isinstance(key.private, bytes):
        return None
    keys = issuer.policy.keys
    if key.kid not in keys.kids:
        public = key.private.public_key()
        for known in keys.in_set.get(key.algorithm, ()):
            if known.public == public:
                return known.kid
    return key.kid


def _sign(key: SigningKey, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    with suppress(TypeError, ValueError, RecursionError):  # whose texts quote values
        return key.sign(header, claims)
    raise ValueError("the claims cannot be written as JSON")


def _checked(token: str, server: ResourceServer) -> Principal:
    """Check what was made as a request would be, as far as the keys are known here."""
    steps = Verification(token, server, time.time)
    steps.read_claims()
    steps.check_without_key()
    keys = steps.cached_keys()
    if keys is not None:
        steps.check_signature(keys)
    if (policy := server.sender_policy) is not None:
        policy.refuse_unbound(steps.claims.get("cnf", {}))
    return principal_for(steps.claims, steps.issuer, token)


def _require_same(
    made: Principal,
    user_id: str,
    session_id: str | None,
    scopes: Collection[str],
    roles: Collection[str],
) -> None:
    """Refuse claims from which other values are read than the arguments."""
    if user_id_of(made.claims, made.settings) != user_id:
        raise ValueError("claims name another user than user_id does")
    if session_id is not None and made.session_id != session_id:
        raise ValueError(
            "claims name another session than session_id does, or it is empty or no text"
        )
    if scopes and made.scopes != frozenset(scopes):
        raise ValueError("claims grant other scopes than scopes does, or one has a space in it")
    if roles and made.roles != frozenset(roles):
        raise ValueError("claims grant other roles than roles does")
