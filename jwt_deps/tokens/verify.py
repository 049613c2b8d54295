"""Verify a token: every check in one order, wherever the keys come from.

Size, form, header, payload, issuer, claims, key, signature. What needs no key comes first, so
that nothing is fetched for a token that good keys would not make acceptable: a client cannot make
this service ask an issuer for keys with a token that is expired, meant for another service, or of
an issuer that is not accepted. A token that is both forged and expired is refused as expired,
whether its keys are configured, fetched or still to be fetched.

Until the signature is checked, what the token says is used to refuse it and to choose its issuer
and key, and for nothing else.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from jwt_deps.errors import (
    AuthError,
    InvalidTokenError,
    KeysUnavailableError,
    MalformedTokenError,
    Reason,
    SignatureError,
    UnknownKeyError,
)
from jwt_deps.jose import CompactJWS, needs_extension, parse_compact, parse_object
from jwt_deps.keys import GRACE, VerificationKey
from jwt_deps.settings import AcceptedIssuer, AcceptedIssuers, JWTSettings, ResourceServer

from .claim_checks import (
    check_claims,
    check_issuer,
    check_numeric_dates,
    check_profile,
    unaccepted_issuer,
)

_MAX_KID = 256
_ALGORITHM = (Reason.ALGORITHM, "its algorithm is not accepted")
_TYPE = (Reason.TYPE, "its type is not that of an access token")
_JWS = re.compile(rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")
_JWE = re.compile(rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){4}")
# A request waits for keys a second time only if its issuer got other settings while it waited.
_MOST_WAITS = 2

_Keys: TypeAlias = tuple[VerificationKey, ...]


async def verify(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> "Verification":
    """Verify a token with the keys of its issuer, fetching them where needed.

    Raises:
        InvalidTokenError: one of its subclasses, whatever the text was.
        KeysUnavailableError: the issuer's keys cannot be fetched, so the token cannot be checked.
    """
    server = settings.server
    steps = Verification(token, server, clock)
    try:
        steps.read_claims()
        await server.accepted.resolve(steps.claims.get("iss"))
        steps.check_without_key()
        keys = steps.cached_keys()
        if keys is not None:
            try:
                steps.check_signature(keys)
            except SignatureError:
                if not steps.issuer.policy.is_mixed:
                    raise
            else:
                return steps
        await _check_with_fetched(steps, everywhere=keys is not None)
    except (InvalidTokenError, KeysUnavailableError) as error:
        error.kid = steps.kid
        raise
    return steps


async def _check_with_fetched(steps: "Verification", *, everywhere: bool) -> None:
    """Check the signature with keys that are fetched where that can help.

    Of several places those that have a key for the token are asked first, and all of them only if
    that is not enough, in the time of one.
    """
    if not steps.issuer.policy.is_mixed:
        steps.check_signature(await steps.fetched_keys())
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(steps.issuer.policy.settings.jwks_cache.timeout + GRACE):
            if not everywhere:
                with suppress(UnknownKeyError, SignatureError, KeysUnavailableError):
                    steps.check_signature(await steps.fetched_keys(everywhere=False))
                    return
            steps.check_signature(await steps.fetched_keys())
            return
    raise KeysUnavailableError(1)


class Verification:
    """The verification of one token: its steps, and what is known of the token so far.

    Attributes:
        jws: the token, taken apart.
        algorithm, kind, kid: the `alg`, `typ` (in lower case) and `kid` of its header.
        claims: what it says, once `read_claims` has read it.
        issuer: its issuer, once `find_issuer` has found it.
        key: the one that its signature matches, once `check_signature` has found it.
    """

    __slots__ = (
        "_clock",
        "_outage",
        "_server",
        "algorithm",
        "claims",
        "issuer",
        "jws",
        "key",
        "kid",
        "kind",
    )

    claims: dict[str, Any]
    issuer: AcceptedIssuer
    key: VerificationKey

    def __init__(self, token: str, server: ResourceServer, clock: Callable[[], float]) -> None:
        if len(token) > server.max_token_size:
            raise MalformedTokenError(Reason.TOO_LARGE, "it is longer than this service reads")
        self._server = server
        self._clock = clock
        self._outage: KeysUnavailableError | None = None
        self.jws = _compact(token)
        self.algorithm, self.kind, self.kid = _check_header(self.jws.header, server.accepted)

    def read_claims(self) -> None:
        """Read the payload, which cannot be trusted until the signature is checked."""
        self.claims = _object(self.jws.payload, Reason.PAYLOAD, "payload")

    def check_without_key(self) -> None:
        """Make every check that needs no key."""
        self.find_issuer()
        policy = self.issuer.policy
        if policy.is_rfc9068:
            check_profile(self.kind, self.claims)
        check_claims(self.claims, policy, self._clock(), self._server.provable)
        if (sender_policy := self._server.sender_policy) is not None:
            sender_policy.refuse_unbound(self.claims.get("cnf") or {})

    def find_issuer(self) -> None:
        """Find the issuer that the token names, and check that it signs such tokens."""
        accepted = self._server.accepted
        if accepted.single is not None:
            check_issuer(self.claims, accepted.single.policy)
            self.issuer = accepted.single
            return
        issuer = accepted.of(self.claims.get("iss"))
        if issuer is None:
            raise unaccepted_issuer(self.claims)
        if self.algorithm not in issuer.policy.algorithms:
            raise MalformedTokenError(*_ALGORITHM)
        if self.kind not in issuer.policy.types:
            raise MalformedTokenError(*_TYPE)
        self.issuer = issuer

    def cached_keys(self) -> _Keys | None:
        """The keys that may check the signature; `None` if they have to be fetched."""
        return self.issuer.policy.cached_keys(self.algorithm, self.kid)

    def check_signature(self, keys: _Keys) -> None:
        """Check the signature with the keys that were chosen for the token.

        Raises:
            SignatureError: the signature matches none of them.
            KeysUnavailableError: the same, and one source of keys cannot be reached.
        """
        for candidate in keys:
            if candidate.key.verify(self.jws.signing_input, self.jws.signature):
                self.key = candidate
                return
        raise self._outage or SignatureError

    async def fetched_keys(self, *, everywhere: bool = True) -> _Keys:
        """Wait for the keys that may check the signature.

        Time passes while a request waits, and a function in `issuers` can give other settings, so
        every check that needs no key is made again after the wait.
        """
        for _ in range(_MOST_WAITS):
            keys: _Keys | None = None
            failure: AuthError | None = None
            waited_for = self.issuer.policy
            try:
                keys, self._outage = await waited_for.fetched_keys(
                    self.algorithm, self.kid, everywhere=everywhere
                )
            except AuthError as error:
                failure = error
            # The answer of a function in `issuers` may have expired during the wait.
            await self._server.accepted.resolve(self.claims.get("iss"))
            self.check_without_key()
            if self.issuer.policy is not waited_for:
                keys, failure, self._outage = self.cached_keys(), None, None
            if failure is not None:
                raise failure
            if keys is not None:
                return keys
        raise KeysUnavailableError(1)


# The frames of the parsers' errors know what was read, and that is the token: the package's errors
# are raised outside of their handlers, so that not even `__context__` leads back to them.


def _compact(token: str) -> CompactJWS:
    text = token.encode("ascii", "replace")  # what is replaced is refused
    try:
        return parse_compact(text)
    except ValueError:
        pass
    if _JWS.fullmatch(text):
        raise MalformedTokenError(Reason.ENCODING, "one of its parts is not base64url")
    if _JWE.fullmatch(text):  # RFC 7516 §7.1: five parts
        raise MalformedTokenError(Reason.ENCRYPTED, "encrypted tokens are not supported")
    raise MalformedTokenError(Reason.NOT_COMPACT, "it is not a JWS in compact serialization")


def _object(data: bytes, reason: Reason, name: str) -> dict[str, Any]:
    try:
        return parse_object(data)
    except ValueError:
        pass
    raise MalformedTokenError(reason, f"its {name} is not a JSON object")


def unverified_expiry(token: str) -> float | None:
    """Read `exp` of a token that this service was handed by its own issuer, without a check.

    Raises:
        MalformedTokenError: not a JWS with a readable payload.
        ClaimError: its `exp` is not a number.
    """
    given: object = token
    if not isinstance(given, str):
        raise MalformedTokenError(Reason.NOT_COMPACT, "it is not a text")
    claims = _object(_compact(given).payload, Reason.PAYLOAD, "payload")
    check_numeric_dates(claims)
    return claims.get("exp")


def _check_header(data: bytes, accepted: AcceptedIssuers) -> tuple[str, str, str | None]:
    """Read the header: the algorithm, the type in lower case, and the key id.

    With several issuers this accepts what any of them uses; `find_issuer` checks its own.
    """
    header = _object(data, Reason.HEADER, "header")
    if "alg" not in header:  # which every JWS has (RFC 7515 §4.1.1)
        raise MalformedTokenError(Reason.HEADER, "its header names no algorithm")
    algorithm = header["alg"]
    if not isinstance(algorithm, str) or algorithm not in accepted.algorithms:
        raise MalformedTokenError(*_ALGORITHM)
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str):
        raise MalformedTokenError(*_TYPE)
    kind = kind.lower()
    if accepted.types is not None and kind not in accepted.types:
        raise MalformedTokenError(*_TYPE)
    if needs_extension(header):
        raise MalformedTokenError(Reason.CRITICAL, "it needs an extension that is not understood")
    if "kid" not in header:
        return algorithm, kind, None
    kid = header["kid"]
    if not isinstance(kid, str) or len(kid) > _MAX_KID:
        raise MalformedTokenError(Reason.KEY_ID, "its key id is not a short string")
    return algorithm, kind, kid
