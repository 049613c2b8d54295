"""Authenticate the sender of a token: from the token cache, or by verifying the token.

A verified token is cached under its full text, so that the next request with it needs no parsing.
Cached with it are its principal, the key that its signature matched, and its times. A refused
token is never cached. Each use checks again whether the token has begun and not ended, whether a
function in `issuers` still accepts its issuer as it was, and whether that still has the key; if
not, the token is verified like a new one. Revocation is checked each time, for cached and new
tokens alike; the proof of the sender, where one is needed, is checked after that by `possession`.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from jwt_deps import telemetry
from jwt_deps.errors import (
    AuthError,
    KeysUnavailableError,
    MalformedTokenError,
    Reason,
    RevokedTokenError,
    Step,
    UnknownKeyError,
)
from jwt_deps.keys import VerificationKey
from jwt_deps.revocation import refuse_revoked
from jwt_deps.settings import AcceptedIssuer, JWTSettings, ResourceServer, get_settings

from .claim_checks import (
    check_claims,
    check_issuer,
    refuse_unproved,
    time_limits,
    unaccepted_issuer,
)
from .claims import Claims
from .principal import Principal
from .verify import Verification, verify

# Longer tokens are rare, and a few of them would fill the memory of many.
_MAX_CACHED = 4096


class _CacheEntry(NamedTuple):
    principal: Principal
    issuer: AcceptedIssuer
    key: VerificationKey
    kid: str | None
    #: From when to when the token is valid, leeway included.
    begins: float
    ends: float
    #: Whether issuer and key cannot change: they are configured.
    fixed: bool

    def __repr__(self) -> str:
        return f"<token cache entry of {self.principal!r}>"

    def is_current(self, server: ResourceServer) -> bool:
        """Whether the issuer is still accepted as it was, and still has the key."""
        policy, tenants = self.issuer.policy, server.accepted.tenants
        issuer: Any = self.principal.claims.iss
        if tenants is not None and (
            server.accepted.of(issuer) != self.issuer or tenants.is_due(issuer)
        ):
            return False  # the verification asks the function
        if policy.is_fixed:
            return True
        try:
            cached = policy.cached_keys(self.key.algorithm, self.kid)
        except UnknownKeyError:
            return False
        return cached is not None and any(key is self.key for key in cached)


async def verify_token(token: str, settings: JWTSettings | None = None) -> Claims:
    """Verify a token that did not come with a request: a message, a job, GraphQL's parameters.

        claims = await verify_token(message["token"], settings)

    The checks are those of a request: issuer, times, audience, key, signature and revocation.
    `validate=False` changes nothing here. With `revocation_url`, a process without an application
    calls `settings.revocations.open()` first.

    Args:
        token: the encoded token, without `Bearer`.
        settings: what is accepted; `None` is `get_settings()`.

    Returns:
        The verified claims. With several issuers `sub` names a user only together with `iss`: the
        `user_id_prefix` is not in it.

    Raises:
        InvalidTokenError: one of its subclasses. A token that is bound to a key or certificate
            (RFC 7800) is refused, because there is no request to prove it with; so is every token
            where the settings require DPoP.
        KeysUnavailableError: keys or revocations are unavailable, so the token cannot be checked.
        ConfigurationError: what `get_settings` raises.
    """
    if settings is None:
        settings = get_settings()
    given: object = token
    if not isinstance(given, str):  # of a JSON message, for instance
        raise MalformedTokenError(Reason.NOT_COMPACT, "it is not a text")
    return (await verified_principal(given, settings)).claims


async def verified_principal(token: str, settings: JWTSettings) -> Principal:
    """Return the principal of a token that did not come with a request, as `verify_token`."""
    principal = await authenticate_token(token, settings)
    refuse_unproved(principal.claims.view(), ())
    if (policy := settings.server.sender_policy) is not None:
        policy.refuse_unbound({})  # a key could not be proved here
    return principal


async def authenticate_token(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> Principal:
    """Return the principal of a token, verifying the token unless it is in the token cache.

    Raises:
        InvalidTokenError: one of its subclasses; revoked tokens too.
        KeysUnavailableError: keys or revocations are unavailable, so the token cannot be checked.
    """
    began, issuers, server = telemetry.start(), settings.policy.issuers, settings.server
    try:
        principal = _cached(token, server, clock)
        if principal is None:
            principal = _cache(token, await verify(token, settings, clock=clock), server)
        issuers = principal.settings.policy.issuers
        if server.revocations is not None:
            await refuse_revoked(server.revocations, principal.revocable())
    except AuthError as error:
        if isinstance(error, RevokedTokenError):
            telemetry.revoked(issuers)
        if not (server.credentials and is_no_jwt(error)):
            outage = isinstance(error, KeysUnavailableError)
            telemetry.validated(issuers, "unavailable" if outage else "rejected", began)
        raise
    if began is not None:
        telemetry.validated(issuers, "accepted", began)
    return principal


def is_no_jwt(error: AuthError) -> bool:
    """Whether the error says that a token is no JWT, which another credential may accept."""
    return error.step is Step.FORM or error.reason is Reason.HEADER


async def authenticate_claims(claims: Claims, settings: JWTSettings, token: str) -> Principal:
    """Return the principal for the claims of a credential other than a JWT.

    That is an API key or an introspected token. The claims are checked as those of a JWT as far as
    they are there: issuer, times, subject, audience and binding; and revocation. Those that the
    settings require have to be there. The token is an opaque one, or empty.
    """
    server, members = settings.server, dict(claims)
    issuer = members.get("iss")
    await server.accepted.resolve(issuer)
    named = server.accepted.of(issuer)
    strict, prefix = named or server.accepted.without_issuer(issuer, settings.policy)
    policy = replace(
        strict,
        require_exp=False,
        audience_optional=True,
        max_token_age=strict.max_token_age if "iat" in members else None,
    )
    if "iss" in members:
        if named is None:
            raise unaccepted_issuer(members)
        check_issuer(members, policy)
    check_claims(members, policy, time.time(), server.provable)
    principal = principal_for(members, AcceptedIssuer(policy, prefix), token)
    if server.revocations is not None:
        await refuse_revoked(server.revocations, principal.revocable())
    return principal


def principal_for(claims: dict[str, Any], issuer: AcceptedIssuer, token: str) -> Principal:
    """Make the principal of claims that passed every check of an issuer.

    Raises:
        ClaimError: its user id begins with the prefix of another issuer.
    """
    policy, prefix = issuer
    found = Claims.of(claims, policy.max_token_age)
    principal = Principal(found, policy.settings, token=token, prefix=prefix)
    principal.refuse_foreign_user()
    return principal


def _cached(token: str, server: ResourceServer, clock: Callable[[], float]) -> Principal | None:
    """Look up the token cache; `None` if the token has to be verified."""
    entry: _CacheEntry | None = server.token_cache.get(token)
    if entry is None:
        return None
    principal, _, _, _, begins, ends, fixed = entry
    if begins <= clock() < ends and (fixed or entry.is_current(server)):
        return principal
    server.token_cache.discard(token)
    return None


def _cache(token: str, verified: Verification, server: ResourceServer) -> Principal:
    """Make the principal of a verified token, and put it into the token cache."""
    issuer = verified.issuer
    principal = principal_for(verified.claims, issuer, token)
    if len(token) <= _MAX_CACHED:
        fixed = server.accepted.tenants is None and issuer.policy.is_fixed
        limits = time_limits(verified.claims, issuer.policy)
        entry = _CacheEntry(principal, issuer, verified.key, verified.kid, *limits, fixed)
        server.token_cache.put(token, entry)
    return principal
