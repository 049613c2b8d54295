"""Check what a token says: its issuer, times, subject, id, audience and binding."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from jwt_deps.errors import (
    ClaimError,
    ExpiredTokenError,
    MalformedTokenError,
    Reason,
    Step,
)
from jwt_deps.jose import is_numeric_date, value_at
from jwt_deps.settings import IssuerPolicy

# RFC 9068 §2.1 and §4; media types are compared without regard to case (RFC 2045 §5.1).
_ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})

# RFC 9068 §2.2.
_PROFILE_CLAIMS = {
    "exp": Step.TIMES,
    "iat": Step.TIMES,
    "sub": Step.SUBJECT,
    "client_id": Step.SUBJECT,
    "jti": Step.SUBJECT,
    "iss": Step.ISSUER,
    "aud": Step.AUDIENCE,
}
_PROFILE_STRINGS = ("client_id", "jti")


def _check_times(claims: dict[str, Any], policy: IssuerPolicy, now: float) -> None:
    check_numeric_dates(claims)
    if policy.require_exp and "exp" not in claims:
        raise ClaimError(Reason.CLAIM_MISSING, "exp", "it has no expiry", Step.TIMES)
    if policy.max_token_age is not None and "iat" not in claims:
        raise ClaimError(Reason.CLAIM_MISSING, "iat", "it has no time of issue", Step.TIMES)
    begins, ends = time_limits(claims, policy)
    if now >= ends:  # RFC 7519 §4.1.4: "on or after"
        raise ExpiredTokenError
    if now < begins:
        name = "nbf" if claims.get("nbf", -math.inf) - policy.leeway > now else "iat"
        raise ClaimError(Reason.NOT_YET_VALID, name, "it is not valid yet", Step.TIMES)


def check_numeric_dates(claims: Mapping[str, Any]) -> None:
    """Check that the times are seconds since the epoch (RFC 7519 §2)."""
    for name in ("exp", "nbf", "iat"):
        if name in claims and not is_numeric_date(claims[name]):
            raise _claim_type(name, "a number", Step.TIMES)


def time_limits(claims: dict[str, Any], policy: IssuerPolicy) -> tuple[float, float]:
    """From when to when a token is valid, leeway included, in seconds since the epoch."""
    begins = max(claims.get("nbf", -math.inf), claims.get("iat", -math.inf))
    ends = claims.get("exp", math.inf)
    if policy.max_token_age is not None:
        ends = min(ends, claims["iat"] + policy.max_token_age)
    return begins - policy.leeway, ends + policy.leeway


def _check_subject(claims: dict[str, Any], policy: IssuerPolicy, _: float) -> None:
    if policy.allow_numeric_sub and type(claims.get("sub")) is int:
        claims["sub"] = str(claims["sub"])  # for all that follows, revocation too
    for name in ("sub", "jti"):  # RFC 7519 §4.1.2, §4.1.7
        if name in claims and not isinstance(claims[name], str):
            raise _claim_type(name, "a string", Step.SUBJECT)


def check_issuer(claims: dict[str, Any], policy: IssuerPolicy) -> None:
    """Check the issuer (RFC 7519 §4.1.1) against those that the settings accept, if any are set."""
    if not policy.issuers:
        return
    issuer = claims.get("iss")
    if "iss" in claims and not isinstance(issuer, str):
        raise _claim_type("iss", "a string", Step.ISSUER)
    if issuer not in policy.issuers:
        raise unaccepted_issuer(claims)


def unaccepted_issuer(claims: Mapping[str, Any]) -> ClaimError:
    """The error for claims that name no issuer, or one that is not accepted."""
    if "iss" not in claims:
        return ClaimError(Reason.CLAIM_MISSING, "iss", "it names no issuer", Step.ISSUER)
    return ClaimError(Reason.CLAIM_FOREIGN, "iss", "its issuer is not accepted", Step.ISSUER)


def _check_audience(claims: dict[str, Any], policy: IssuerPolicy, _: float) -> None:
    _check_audience_in(policy.audience_claim, claims, policy)
    if policy.audience_claim != "aud" and "aud" in claims:  # RFC 7519 §4.1.3: it counts if present
        _check_audience_in("aud", claims, policy)


def _check_audience_in(name: str, claims: dict[str, Any], policy: IssuerPolicy) -> None:
    accepted = policy.audiences
    audience = value_at(claims, name)
    is_named = audience is not None or name in claims
    if not accepted:
        if policy.verify_audience and is_named:  # RFC 7519 §4.1.3
            unknown = "it names an audience, and none is configured"
            raise ClaimError(Reason.CLAIM_FOREIGN, name, unknown, Step.AUDIENCE)
        return
    if not is_named:
        if policy.audience_optional:
            return
        raise ClaimError(Reason.CLAIM_MISSING, name, "it names no audience", Step.AUDIENCE)
    if isinstance(audience, str) and audience in accepted:
        return
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        raise _claim_type(name, "a string or a list of strings", Step.AUDIENCE)
    if not any(one in accepted for one in audiences):
        foreign = "it is meant for another service"
        raise ClaimError(Reason.CLAIM_FOREIGN, name, foreign, Step.AUDIENCE)


def _check_required(claims: dict[str, Any], policy: IssuerPolicy, _: float) -> None:
    for name in policy.required_claims:
        if value_at(claims, name) is None:
            raise ClaimError(Reason.CLAIM_MISSING, name, f"it has no {name}", Step.CLAIMS)


def refuse_unproved(claims: Mapping[str, Any], provable: Collection[str]) -> None:
    """Refuse a token that is bound to a key which no sender can prove here (RFC 7800).

    Without that proof it would be a plain bearer token, which its issuer meant to prevent.
    """
    if "cnf" not in claims:
        return
    members = claims["cnf"] or {"": None}
    if not isinstance(members, dict) or not all(
        name in provable and isinstance(value, str) for name, value in members.items()
    ):
        unproved = "it is bound to a key that was not proved"
        raise ClaimError(Reason.CONFIRMATION, "cnf", unproved, Step.CONFIRMATION)


#: What a token says is checked by these, in this order, once its issuer is accepted.
CLAIM_CHECKS: dict[Step, Callable[[dict[str, Any], IssuerPolicy, float], None]] = {
    Step.TIMES: _check_times,
    Step.SUBJECT: _check_subject,
    Step.AUDIENCE: _check_audience,
    Step.CLAIMS: _check_required,
}


def check_claims(
    claims: dict[str, Any], policy: IssuerPolicy, now: float, provable: Collection[str]
) -> None:
    """Check what a token says, beside its issuer, against what that issuer's tokens must say."""
    for check in CLAIM_CHECKS.values():
        check(claims, policy, now)
    refuse_unproved(claims, provable)


def check_profile(kind: str, claims: dict[str, Any]) -> None:
    """Check what RFC 9068 asks of a token beyond what is asked of all; `kind` is its `typ`."""
    if kind not in _ACCESS_TOKEN_TYPES:
        raise MalformedTokenError(Reason.TYPE, "its type is not at+jwt")
    for name, step in _PROFILE_CLAIMS.items():
        if name not in claims:
            raise ClaimError(Reason.CLAIM_MISSING, name, f"it has no {name}", step)
    for name in _PROFILE_STRINGS:
        if not isinstance(claims[name], str):
            raise _claim_type(name, "a string", _PROFILE_CLAIMS[name])


def _claim_type(name: str, expected: str, step: Step) -> ClaimError:
    return ClaimError(Reason.CLAIM_INVALID, name, f"its {name} is not {expected}", step)
