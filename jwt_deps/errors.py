"""Typed errors, without HTTP in them, and the reason code of each refusal.

    JWTDepsError
    ├── ConfigurationError            .reason, .message; at start-up, never an answer to a request
    └── AuthError                     .reason, .step, .code, .description, .kid
        ├── MissingTokenError         no credentials: a challenge without an error code
        ├── InvalidRequestError       invalid_request: several credentials
        ├── CrossSiteRequestError     a token in a cookie, on a cross-site request
        ├── InsufficientPermissionsError  insufficient_scope: .scopes, .needs
        │   └── InsufficientScopeError    it lacks a scope
        ├── InsufficientAuthenticationError   .acr_values, .max_age (RFC 9470)
        ├── KeysUnavailableError      the issuer's keys cannot be fetched: .retry_after
        │   └── RevocationUnavailableError  the revocations cannot be read
        ├── DPoPProofError            invalid_dpop_proof: the proof is missing or not valid
        │   └── DPoPNonceError        use_dpop_nonce: .nonce
        ├── ReplaysUnavailableError   the replay store does not answer: .retry_after
        ├── TooManyProofsError        more DPoP proofs of one key than are kept: .retry_after
        └── InvalidTokenError         invalid_token
            ├── ConfirmationError     bound to a key or certificate that its sender did not prove
            ├── MalformedTokenError   not a JWS that this package reads
            ├── UnknownKeyError       no key is configured for its `kid` and `alg`
            ├── SignatureError        the signature does not match the key
            ├── ExpiredTokenError     it has expired
            ├── RevokedTokenError     it was revoked
            └── ClaimError            .claim: the name, never the value

`jwt_deps.web.responses` knows the status and the challenge of each.

Messages are fixed sentences. They hold names from the configuration and names of claims, never a
value and never text from a token, so each can be shown and logged.

Each `.reason` is a section of the errors page, with causes and cures: `.anchor`, `.command`.
"""

from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from typing import Any, Self, TypeGuard

#: The integers up to it are floats without loss, and sizes that a system of 64 bits can count.
_LARGEST = 2**53


class Step(StrEnum):
    """Which check refused a request, in the order in which the checks are made.

    The order is the same for configured and for fetched keys. `CLAIMS` are the other required
    claims; what a dependency reads from a claim, after all these, is refused under that name too.
    `CONFIRMATION` is about the claim `cnf` (RFC 7800), whose form is checked before the key; that
    the sender has what it names is checked with the `PROOF`.
    """

    CREDENTIALS = "credentials"
    SIZE = "size"
    FORM = "form"
    HEADER = "header"
    PAYLOAD = "payload"
    ISSUER = "issuer"
    TIMES = "times"
    SUBJECT = "subject"
    AUDIENCE = "audience"
    CLAIMS = "claims"
    CONFIRMATION = "confirmation"
    KEY = "key"
    SIGNATURE = "signature"
    REVOCATION = "revocation"
    PROOF = "proof"
    SCOPES = "scopes"
    PERMISSIONS = "permissions"
    AUTHENTICATION = "authentication"


class Reason(StrEnum):
    """Why a request was refused: one code for each rule, in logs, errors and the errors page.

    Each belongs to a step. Those of several claims name none, because a `ClaimError` has its own.
    """

    step: Step

    def __new__(cls, code: str, step: Step = Step.CLAIMS) -> Self:
        """Make one of its code, which is its text and its value."""
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.step = step
        return reason

    MISSING = "missing", Step.CREDENTIALS
    REPEATED_CREDENTIALS = "repeated_credentials", Step.CREDENTIALS
    HEADER_FORM = "header_form", Step.CREDENTIALS
    API_KEY = "api_key", Step.CREDENTIALS
    INACTIVE = "inactive", Step.REVOCATION
    CROSS_SITE = "cross_site", Step.CREDENTIALS
    TOO_LARGE = "too_large", Step.SIZE
    NOT_COMPACT = "not_compact", Step.FORM
    ENCRYPTED = "encrypted", Step.FORM
    ENCODING = "encoding", Step.FORM
    HEADER = "header", Step.HEADER
    ALGORITHM = "algorithm", Step.HEADER
    TYPE = "type", Step.HEADER
    CRITICAL = "critical", Step.HEADER
    KEY_ID = "key_id", Step.HEADER
    UNKNOWN_KEY = "unknown_key", Step.KEY
    SIGNATURE = "signature", Step.SIGNATURE
    PAYLOAD = "payload", Step.PAYLOAD
    EXPIRED = "expired", Step.TIMES
    NOT_YET_VALID = "not_yet_valid"
    CLAIM_MISSING = "claim_missing"
    CLAIM_INVALID = "claim_invalid"
    CLAIM_FOREIGN = "claim_foreign"
    CONFIRMATION = "confirmation"
    NOT_BOUND = "not_bound", Step.CONFIRMATION
    DOWNGRADED = "downgraded", Step.CONFIRMATION
    CERTIFICATE = "certificate_binding", Step.CONFIRMATION
    PROOF_MISSING = "proof_missing", Step.PROOF
    PROOF_REPEATED = "proof_repeated", Step.PROOF
    PROOF_MALFORMED = "proof_malformed", Step.PROOF
    PROOF_CLAIMS = "proof_claims", Step.PROOF
    PROOF_TYPE = "proof_type", Step.PROOF
    PROOF_ALGORITHM = "proof_algorithm", Step.PROOF
    PROOF_KEY = "proof_key", Step.PROOF
    PROOF_PRIVATE_KEY = "proof_private_key", Step.PROOF
    PROOF_BINDING = "proof_binding", Step.PROOF
    PROOF_SIGNATURE = "proof_signature", Step.PROOF
    PROOF_METHOD = "proof_method", Step.PROOF
    PROOF_TARGET = "proof_target", Step.PROOF
    PROOF_TOKEN = "proof_token", Step.PROOF
    PROOF_NONCE = "proof_nonce", Step.PROOF
    PROOF_TIME = "proof_time", Step.PROOF
    PROOF_REPLAYED = "proof_replayed", Step.PROOF
    PROOF_LIMIT = "proof_limit", Step.PROOF
    REPLAYS_UNAVAILABLE = "replays_unavailable", Step.PROOF
    REVOKED = "revoked", Step.REVOCATION
    REVOCATION_UNAVAILABLE = "revocation_unavailable", Step.REVOCATION
    SCOPE = "scope", Step.SCOPES
    ROLE = "role", Step.PERMISSIONS
    CLAIM = "claim", Step.PERMISSIONS
    CHECK = "check", Step.PERMISSIONS
    ACR = "acr", Step.AUTHENTICATION
    AUTH_TIME = "auth_time", Step.AUTHENTICATION
    KEYS_UNAVAILABLE = "keys_unavailable", Step.KEY


def _made_again(kind: type["JWTDepsError"], *args: object) -> "JWTDepsError":
    return kind.__new__(kind, *args)


class JWTDepsError(Exception):
    """The base of `ConfigurationError` and of every error that refuses a request.

    Attributes:
        reason: a code for what is wrong: a `Reason` where a request is refused, else a `str`.
    """

    reason: Any

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy what it is, and not a call of `__init__` with `args`."""
        return _made_again, (type(self), *self.args), self.__dict__

    @property
    def anchor(self) -> str:
        """The section of the errors page with its causes and cures, as a path in the repository."""
        return f"docs/errors.md#{self.reason}"

    @property
    def command(self) -> str:
        """What prints that section: `jwt-deps explain no_key` (extra `cli`)."""
        return f"jwt-deps explain {self.reason}"


class ConfigurationError(JWTDepsError):
    """The configuration cannot work; the message says what to set.

    Attributes:
        reason: a code for the mistake.
        message: the sentence, without the command that `str()` appends.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} More: {self.command}"


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that can be added to a time, or be a size.

    Comparisons with NaN are false: an answer that is cached for so long would never end. With an
    integer that no float can hold, a time cannot be computed.
    """
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_LARGEST <= value <= _LARGEST
    )


def require_numbers(**arguments: object) -> None:
    """Refuse arguments that are no numbers from 0 to 2^53."""
    for name, value in arguments.items():
        if not is_number(value) or value < 0:
            raise ConfigurationError("invalid_setting", f"{name} is no number from 0 to 2^53.")


def require_positive(**arguments: object) -> None:
    """Refuse arguments that are no numbers above 0, up to 2^53."""
    for name, value in arguments.items():
        if not is_number(value) or value <= 0:
            raise ConfigurationError("invalid_setting", f"{name} is no number above 0, up to 2^53.")


def require_sizes(**arguments: object) -> None:
    """Refuse arguments that are no integers from 1 to 2^53.

    Libraries take no floats for a size, and 0 for no limit.
    """
    for name, value in arguments.items():
        if not is_number(value) or not isinstance(value, int) or value < 1:
            raise ConfigurationError("invalid_setting", f"{name} is no integer from 1 to 2^53.")


class AuthError(JWTDepsError):
    """The base of every error that refuses a request.

    Attributes:
        reason: the rule that refused it.
        code: the error code of RFC 6750 §3.1; `None` where the challenge carries none.
        description: a sentence for the challenge's `error_description`.
        kid: the token's key id, for logs; `None` until the header has been read.
    """

    reason: Reason
    description: str
    code: str | None = None
    kid: str | None = None

    def __init__(self, reason: Reason, description: str, detail: str | None = None) -> None:
        super().__init__(detail or f"Invalid token: {description}")
        self.reason = reason
        self.description = description

    @cached_property
    def step(self) -> Step:
        """The check that the rule belongs to."""
        return self.reason.step


class MissingTokenError(AuthError):
    """The request carries no access token (RFC 6750 §3.1: then no error code)."""

    def __init__(self, detail: str, reason: Reason = Reason.MISSING) -> None:
        super().__init__(reason, "The request carries no access token", detail)


class InvalidRequestError(AuthError):
    """The request carries several credentials (RFC 6750 §3.1)."""

    code = "invalid_request"


class CrossSiteRequestError(AuthError):
    """The token is in a cookie, and another site caused the request."""

    def __init__(self) -> None:
        super().__init__(Reason.CROSS_SITE, "it came with a cross-site request")


class InsufficientPermissionsError(AuthError):
    """The token is valid, and a required scope, role, claim or check is not met (RFC 6750 §3.1).

    Attributes:
        scopes: every scope that the operation needs, in the order declared.
        needs: what was not met, where it is no scope: `role=admin|editor`, `claim=plan`.
    """

    code = "insufficient_scope"

    def __init__(
        self,
        reason: Reason,
        description: str,
        scopes: Iterable[str] = (),
        needs: Iterable[str] = (),
    ) -> None:
        super().__init__(reason, description, f"Insufficient permissions: {description}")
        self.scopes = tuple(scopes)
        self.needs = tuple(needs)


class InsufficientScopeError(InsufficientPermissionsError):
    """The token is valid and lacks a required scope (RFC 6750 §3.1)."""

    def __init__(self, scopes: Iterable[str]) -> None:
        super().__init__(Reason.SCOPE, "the access token lacks a scope that this needs", scopes)


class InsufficientAuthenticationError(AuthError):
    """The token is valid, and its user has to authenticate again, or more strongly (RFC 9470 §3).

    Attributes:
        acr_values: the authentication context classes of which one is required.
        max_age: the largest age of the authentication in seconds; `None`: any age.
        scopes: every scope that the operation needs, in the order declared.
    """

    code = "insufficient_user_authentication"

    def __init__(
        self,
        reason: Reason,
        acr_values: Iterable[str],
        max_age: int | None = None,
        scopes: Iterable[str] = (),
    ) -> None:
        recent = "a more recent" if reason is Reason.AUTH_TIME else "a different"
        super().__init__(reason, f"{recent} user authentication is needed for this")
        self.acr_values = tuple(acr_values)
        self.max_age = max_age
        self.scopes = tuple(scopes)


class KeysUnavailableError(AuthError):
    """The issuer's keys cannot be fetched, so the token can be neither accepted nor refused.

    It is not an `InvalidTokenError`, on which a client would discard a valid token.

    Attributes:
        retry_after: seconds after which to try again.
    """

    def __init__(self, retry_after: int) -> None:
        description = "the keys to check the access token with cannot be fetched now"
        super().__init__(Reason.KEYS_UNAVAILABLE, description, "Access token cannot be checked now")
        self.retry_after = retry_after


class RevocationUnavailableError(KeysUnavailableError):
    """The revocations cannot be read, so the token can be neither accepted nor refused.

    A handler of `KeysUnavailableError` handles this outage as well.

    Attributes:
        retry_after: seconds after which to try again.
    """

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(retry_after)
        self.reason = Reason.REVOCATION_UNAVAILABLE
        self.description = "whether the access token was revoked cannot be found out now"


class InvalidTokenError(AuthError):
    """The token is expired, revoked, malformed or invalid for other reasons (RFC 6750 §3.1)."""

    code = "invalid_token"


class MalformedTokenError(InvalidTokenError):
    """The text is not a JWS in compact serialization that this package reads."""


class UnknownKeyError(InvalidTokenError):
    """No key is configured for the token's `kid` and `alg`."""

    def __init__(self) -> None:
        super().__init__(Reason.UNKNOWN_KEY, "no key is configured for it")


class SignatureError(InvalidTokenError):
    """The signature does not match the key."""

    def __init__(self) -> None:
        super().__init__(Reason.SIGNATURE, "signature verification failed")


class ExpiredTokenError(InvalidTokenError):
    """The token's `exp` is past (RFC 7519 §4.1.4)."""

    def __init__(self) -> None:
        super().__init__(Reason.EXPIRED, "The access token expired", "Token has expired")


class RevokedTokenError(InvalidTokenError):
    """The token was revoked before its `exp`."""

    def __init__(self) -> None:
        description = "The access token was revoked"
        super().__init__(Reason.REVOKED, description, "Invalid token: it was revoked")


class ClaimError(InvalidTokenError):
    """A claim is missing, malformed or not meant for this service.

    Attributes:
        claim: the claim's name.
    """

    def __init__(
        self, reason: Reason, claim: str, description: str, step: Step = Step.CLAIMS
    ) -> None:
        super().__init__(reason, description)
        self.claim = claim
        self.step = step


class ConfirmationError(InvalidTokenError):
    """The token is bound to a key or certificate (RFC 7800) that its sender did not prove.

    Or it is not bound, where the settings require it.
    """


class DPoPProofError(AuthError):
    """The DPoP proof is missing or not valid (RFC 9449 §4.3, §7.1)."""

    code = "invalid_dpop_proof"

    def __init__(self, reason: Reason, description: str) -> None:
        super().__init__(reason, description, f"Invalid DPoP proof: {description}")


class DPoPNonceError(DPoPProofError):
    """The DPoP proof needs a nonce of this service (RFC 9449 §9).

    Attributes:
        nonce: the nonce for the next proof.
    """

    code = "use_dpop_nonce"

    def __init__(self, nonce: str) -> None:
        super().__init__(Reason.PROOF_NONCE, "it needs the nonce that this service provides")
        self.nonce = nonce


class ReplaysUnavailableError(AuthError):
    """The replay store does not answer, so the DPoP proof may have been used before.

    Attributes:
        retry_after: seconds after which to try again.
    """

    def __init__(self, retry_after: int = 1) -> None:
        description = "whether the DPoP proof has been used before cannot be found out now"
        super().__init__(Reason.REPLAYS_UNAVAILABLE, description, "DPoP cannot be checked now")
        self.retry_after = retry_after


class TooManyProofsError(AuthError):
    """One key has made more DPoP proofs than the replay store keeps of a key.

    Attributes:
        retry_after: seconds until the oldest of them need not be kept any more.
    """

    def __init__(self, retry_after: int) -> None:
        description = "the key of the DPoP proof has made too many of them"
        super().__init__(Reason.PROOF_LIMIT, description, "Too many DPoP proofs")
        self.retry_after = retry_after
