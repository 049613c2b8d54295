"""Explain why a token would be refused: every check of the verification, and its result."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from jwt_deps.errors import AuthError, ClaimError, InsufficientPermissionsError, Reason, Step
from jwt_deps.settings import PREFIX, JWTSettings, ResourceServer

from .authenticate import authenticate_token
from .claim_checks import CLAIM_CHECKS, check_profile, refuse_unproved
from .verify import Verification


class Outcome(StrEnum):
    """The result of a check."""

    PASSED = "passed"
    REFUSED = "refused"
    NOT_REACHED = "not reached"


#: What to do about a refusal, by its reason: fixed sentences, so that all of them can be shown.
HINTS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.MISSING: "Send the token where JWT_TOKEN_SOURCE says: by default in the header "
        "'Authorization: Bearer <token>'.",
        Reason.REPEATED_CREDENTIALS: "Send one token, in one header or one cookie.",
        Reason.HEADER_FORM: "Write the header as 'Bearer <token>', with one space, or as "
        "JWT_TOKEN_HEADER_SCHEME says; a variable in the client may be empty.",
        Reason.CROSS_SITE: "Call from a page of the same site (with JWT_COOKIE_REQUESTS="
        "same-origin: of the same origin), or send the token in the header.",
        Reason.API_KEY: "Send a key that this service has issued, and one of them.",
        Reason.INACTIVE: "Get a fresh token: the authorization server says that this one is not "
        "active.",
        Reason.TOO_LARGE: "Have the issuer put less into the token, or raise JWT_MAX_TOKEN_SIZE.",
        Reason.NOT_COMPACT: "Send an access token that is a JWT, as it was issued: without quotes, "
        "'Bearer' once, and not the text of an empty variable ('undefined', 'null'). Some issuers "
        "give an opaque token when no audience is requested.",
        Reason.ENCRYPTED: "Have the issuer sign tokens and not encrypt them.",
        Reason.ENCODING: "Send the token as it was issued: it was cut, padded or encoded again.",
        Reason.HEADER: "Send the token as it was issued: its first part is not a JSON object.",
        Reason.ALGORITHM: "If the issuer is meant to use this algorithm, name it in "
        "JWT_ALGORITHM, with a key that fits.",
        Reason.TYPE: "Send an access token, not an ID token, logout token or DPoP proof. If the "
        "issuer gives its access tokens a typ of their own, name it in JWT_TOKEN_TYPES.",
        Reason.CRITICAL: "Have the issuer leave out the header 'crit'.",
        Reason.KEY_ID: "Have the issuer name its keys with a short string.",
        Reason.UNKNOWN_KEY: "Compare the token's kid and alg with the configured keys or the "
        "issuer's JWK Set; the token may be of another environment.",
        Reason.SIGNATURE: "Compare the key with the issuer's: a token of another environment "
        "and a secret with a line break at its end are the usual causes.",
        Reason.PAYLOAD: "Send the token as it was issued: its second part is not a JSON object.",
        Reason.EXPIRED: "Get a fresh token; if it is fresh, compare the clocks.",
        Reason.NOT_YET_VALID: "Compare the clocks of issuer and service; JWT_LEEWAY allows a "
        "difference of seconds.",
        Reason.CLAIM_MISSING: "Have the issuer add the claim, or correct the setting that asks "
        "for it.",
        Reason.CLAIM_INVALID: "Have the issuer send the claim in the form that is expected.",
        Reason.CLAIM_FOREIGN: "Compare the claim with JWT_ISSUER or JWT_AUDIENCE, character by "
        "character: a slash at the end counts. Where tokens name an audience, JWT_AUDIENCE has to "
        "be set.",
        Reason.CONFIRMATION: "Get a token that is not bound to a key, or enable the check of "
        "what it is bound to.",
        Reason.NOT_BOUND: "Ask the issuer for a DPoP-bound token: send it a proof with the request "
        "(RFC 9449 §5).",
        Reason.DOWNGRADED: "Send the token as 'Authorization: DPoP <token>', with a proof in the "
        "header DPoP.",
        Reason.CERTIFICATE: "Connect with the certificate that the token was issued for; behind a "
        "proxy see JWT_CLIENT_CERTIFICATE and JWT_TRUSTED_PROXIES.",
        Reason.PROOF_MISSING: "Send a proof in the header DPoP, a new one with each request.",
        Reason.PROOF_REPEATED: "Send one DPoP header.",
        Reason.PROOF_MALFORMED: "Send one JWT in compact serialization in the header DPoP.",
        Reason.PROOF_CLAIMS: "Put jti, htm, htu and iat into the proof (RFC 9449 §4.2).",
        Reason.PROOF_TYPE: "Set the proof's typ to dpop+jwt.",
        Reason.PROOF_ALGORITHM: "Sign the proof with one of the algs of the challenge.",
        Reason.PROOF_KEY: "Put the public key into the proof's header as jwk.",
        Reason.PROOF_PRIVATE_KEY: "Make a new key: the private one has just been sent. Put only "
        "its public half into the proof.",
        Reason.PROOF_BINDING: "Sign the proof with the key that the token was issued for.",
        Reason.PROOF_SIGNATURE: "Sign the proof with the private half of its jwk.",
        Reason.PROOF_METHOD: "Set htm to the method of the request, in the same case.",
        Reason.PROOF_TARGET: "Set htu to the address of the request without its query; compare "
        "JWT_PUBLIC_ORIGIN with what clients call.",
        Reason.PROOF_TOKEN: "Set ath to the SHA-256 of the access token (RFC 9449 §4.2).",
        Reason.PROOF_NONCE: "Make the proof again with the nonce of the header DPoP-Nonce.",
        Reason.PROOF_TIME: "Compare the clocks of client and service.",
        Reason.PROOF_REPLAYED: "Make a new proof, with a new jti, for each request.",
        Reason.PROOF_LIMIT: "Send fewer requests with one key, or raise per_key of "
        "MemoryReplayStore.",
        Reason.REPLAYS_UNAVAILABLE: "See JWT_DPOP_REPLAY_STORE: it is out of reach, or full.",
        Reason.REVOKED: "Get a fresh token: this one was taken back, alone or with its "
        "session, its user or its issuer.",
        Reason.REVOCATION_UNAVAILABLE: "See the log for why revocations cannot be read; the token "
        "may be good.",
        Reason.SCOPE: "Ask the issuer for the scopes that the challenge names; JWT_SCOPES_CLAIM "
        "says which claim holds them.",
        Reason.ROLE: "Have the issuer give the role to the user; JWT_ROLES_CLAIM says which claim "
        "holds the roles.",
        Reason.CLAIM: "Have the issuer put the claim into the token, with a value that is needed.",
        Reason.CHECK: "See the check that the description names.",
        Reason.ACR: "Send the user to the issuer with the acr_values that the challenge names "
        "(RFC 9470 §4); the issuer must put 'acr' into access tokens.",
        Reason.AUTH_TIME: "Send the user to the issuer with the max_age that the challenge names "
        "(RFC 9470 §4); the issuer must put 'auth_time' into access tokens.",
        Reason.KEYS_UNAVAILABLE: "See the log for why the issuer's keys cannot be fetched; the "
        "token may be good.",
    }
)


_MAX_NAME = 64  # a name can be the token's own, of a claim that a model forbids


def explanation_of(error: AuthError, prefix: str = PREFIX) -> dict[str, str]:
    """What may be said about a refusal beyond its sentence: names, never a value."""
    claim = {"claim": error.claim[:_MAX_NAME]} if isinstance(error, ClaimError) else {}
    needs = error.needs if isinstance(error, InsufficientPermissionsError) else ()
    named = {"reason": error.reason.value, "step": error.step.value}
    return {
        **named,
        **claim,
        **({"needs": " ".join(needs)} if needs else {}),
        "hint": HINTS[error.reason].replace(PREFIX, prefix),
        "see": error.command,
    }


class Finding(NamedTuple):
    """One check of a token; it is not reached when it needs what another one refused."""

    step: Step
    outcome: Outcome
    error: AuthError | None = None

    @property
    def title(self) -> str:
        """What the check asks."""
        return _TITLES[self.step]


class Explanation(NamedTuple):
    """What all checks say of a token, in their order, and what a request would be refused with.

    Attributes:
        findings: the checks.
        error: the refusal; `None` where the token is accepted.
        without_user: the claim in which an accepted token names no user.
    """

    findings: tuple[Finding, ...]
    error: AuthError | None = None
    without_user: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether a request with the token would pass."""
        return self.error is None


#: The checks in their order.
_TITLES = {
    Step.SIZE: "is it short enough to be read",
    Step.FORM: "is it a JWS in compact serialization",
    Step.HEADER: "does its header name an accepted algorithm and type",
    Step.PAYLOAD: "is its payload a JSON object",
    Step.ISSUER: "is its issuer accepted",
    Step.TIMES: "is it valid now",
    Step.SUBJECT: "are its subject and its id strings",
    Step.AUDIENCE: "is it meant for this service",
    Step.CLAIMS: "does it have the other required claims",
    Step.CONFIRMATION: "can this service check everything that it is bound to",
    Step.KEY: "is a key known for it",
    Step.SIGNATURE: "does its signature match that key",
    Step.REVOCATION: "is it still good, not revoked",
}
_BY_TEXT = (Step.SIZE, Step.FORM, Step.HEADER)


async def explain_token(
    token: str, settings: JWTSettings, *, clock: Callable[[], float] = time.time
) -> Explanation:
    """Make every check of a token, including those after the first that refuses it.

    Keys that an issuer publishes are fetched as for a request.
    """
    error = without_user = None
    try:
        principal = await authenticate_token(token, settings, clock=clock)
        if principal.fixed_state["user_id"] is None:
            without_user = principal.settings.user_id_claim
        if (sender_policy := settings.server.sender_policy) is not None:
            sender_policy.refuse_unbound(principal.claims.get("cnf") or {})
    except AuthError as refusal:
        error = refusal
    made = await _checks(token, settings.server, clock)
    if error is not None:  # a check of the principal is none of those
        made[error.step] = error
    if error is None or error.reason is Reason.NOT_BOUND:
        made[Step.REVOCATION] = None
    unasked = {Step.CLAIMS} - made.keys()
    if settings.server.revocations is None:
        unasked.add(Step.REVOCATION)
    findings = (_finding(step, made) for step in _TITLES if step not in unasked)
    return Explanation(tuple(findings), error, without_user)


_Made: TypeAlias = dict[Step, AuthError | None]


def _finding(step: Step, made: _Made) -> Finding:
    if step not in made:
        return Finding(step, Outcome.NOT_REACHED)
    error = made[step]
    return Finding(step, Outcome.PASSED if error is None else Outcome.REFUSED, error)


async def _checks(token: str, server: ResourceServer, clock: Callable[[], float]) -> _Made:
    """Every check that can be made, with its refusal."""
    made: _Made = {}
    try:
        steps = Verification(token, server, clock)
    except AuthError as error:
        return {**dict.fromkeys(_BY_TEXT[: _BY_TEXT.index(error.step)]), error.step: error}
    made.update(dict.fromkeys(_BY_TEXT))
    issuer = server.accepted.single
    with _recording(made, Step.PAYLOAD):
        steps.read_claims()
    if made[Step.PAYLOAD] is None:
        with _recording(made, Step.ISSUER):
            await server.accepted.resolve(steps.claims.get("iss"))
            steps.find_issuer()
            issuer = steps.issuer
    if issuer is None:
        return made
    steps.issuer, policy = issuer, issuer.policy
    if made[Step.PAYLOAD] is None:
        for step, check in CLAIM_CHECKS.items():
            if step is not Step.CLAIMS or policy.required_claims:
                with _recording(made, step):
                    check(steps.claims, policy, clock())
        if policy.is_rfc9068:
            with _recording(made, Step.HEADER):
                check_profile(steps.kind, steps.claims)
        with _recording(made, Step.CONFIRMATION):
            refuse_unproved(steps.claims, server.provable)
    with _recording(made, Step.KEY):
        keys, _ = await policy.fetched_keys(steps.algorithm, steps.kid)
        with _recording(made, Step.SIGNATURE):
            steps.check_signature(keys)
    return made


@contextmanager
def _recording(made: _Made, step: Step) -> Iterator[None]:
    """Record the result of a check; the refusal may name another step than the given one."""
    try:
        yield
    except AuthError as error:
        made[error.step] = error
    else:
        made[step] = None
