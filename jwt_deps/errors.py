"""What can go wrong with a token? One typed error per answer, and no HTTP in any of them.

    JWTDepsError
    ├── ConfigurationError            .reason, .message; for who deploys, never a response
    └── AuthError                     .reason, .code, .description
        ├── MissingTokenError         no credentials at all: a bare challenge
        ├── InvalidRequestError       invalid_request: two credentials where one belongs
        ├── CrossSiteRequestError     a cookie that another site made the browser send
        ├── InsufficientScopeError    insufficient_scope: .scopes
        ├── KeysUnavailableError      nobody can tell: the issuer's keys cannot be fetched
        └── InvalidTokenError         invalid_token
            ├── MalformedTokenError   not a JWS that this package reads
            ├── UnknownKeyError       no configured key is meant for this token
            ├── SignatureError        the key is known, the signature is not its
            ├── ExpiredTokenError
            └── ClaimError            .claim: the name, never the value

Messages are fixed sentences. They hold names from the configuration and names of claims,
never a value and never text from a token, so every one of them is safe to show and to log.

Every `.reason` is a section of the errors page, with the causes and what to do: `.anchor`.
"""

from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from typing import Any

__all__ = [
    "AuthError",
    "ClaimError",
    "ConfigurationError",
    "CrossSiteRequestError",
    "ExpiredTokenError",
    "InsufficientScopeError",
    "InvalidRequestError",
    "InvalidTokenError",
    "JWTDepsError",
    "KeysUnavailableError",
    "MalformedTokenError",
    "MissingTokenError",
    "Reason",
    "SignatureError",
    "Step",
    "UnknownKeyError",
]


class Reason(StrEnum):
    """Why a request was refused: the closed list that logs, errors and tests share."""

    MISSING = "missing"
    REPEATED_CREDENTIALS = "repeated_credentials"
    EMPTY_CREDENTIALS = "empty_credentials"
    CROSS_SITE = "cross_site"
    TOO_LARGE = "too_large"
    NOT_COMPACT = "not_compact"
    ENCRYPTED = "encrypted"
    ENCODING = "encoding"
    HEADER = "header"
    ALGORITHM = "algorithm"
    TYPE = "type"
    CRITICAL = "critical"
    KEY_ID = "key_id"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    PAYLOAD = "payload"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    CLAIM_MISSING = "claim_missing"
    CLAIM_INVALID = "claim_invalid"
    CLAIM_FOREIGN = "claim_foreign"
    CONFIRMATION = "confirmation"
    SCOPE = "scope"
    KEYS_UNAVAILABLE = "keys_unavailable"


class Step(StrEnum):
    """Which check refused a request, in the order in which configured keys have them made.

    Where an issuer's keys are fetched, what needs no key comes before `KEY`.
    """

    CREDENTIALS = "credentials"
    SIZE = "size"
    FORM = "form"
    HEADER = "header"
    KEY = "key"
    SIGNATURE = "signature"
    PAYLOAD = "payload"
    TIMES = "times"
    SUBJECT = "subject"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    CONFIRMATION = "confirmation"
    CLAIMS = "claims"
    SCOPES = "scopes"


# Which step a reason belongs to; of the reasons that several steps share, the error says it.
_STEPS = {
    Reason.MISSING: Step.CREDENTIALS,
    Reason.REPEATED_CREDENTIALS: Step.CREDENTIALS,
    Reason.EMPTY_CREDENTIALS: Step.CREDENTIALS,
    Reason.CROSS_SITE: Step.CREDENTIALS,
    Reason.TOO_LARGE: Step.SIZE,
    Reason.NOT_COMPACT: Step.FORM,
    Reason.ENCRYPTED: Step.FORM,
    Reason.ENCODING: Step.FORM,
    Reason.HEADER: Step.HEADER,
    Reason.ALGORITHM: Step.HEADER,
    Reason.TYPE: Step.HEADER,
    Reason.CRITICAL: Step.HEADER,
    Reason.KEY_ID: Step.HEADER,
    Reason.UNKNOWN_KEY: Step.KEY,
    Reason.KEYS_UNAVAILABLE: Step.KEY,
    Reason.SIGNATURE: Step.SIGNATURE,
    Reason.PAYLOAD: Step.PAYLOAD,
    Reason.EXPIRED: Step.TIMES,
    Reason.SCOPE: Step.SCOPES,
}


class JWTDepsError(Exception):
    """Everything that this package raises on purpose.

    Attributes:
        reason: what is wrong, in a word: a `str`, and a `Reason` where a request is refused.
    """

    reason: Any

    @property
    def anchor(self) -> str:
        """Where its causes and cures are: a path in the repository, and a page of the site."""
        return f"docs/errors.md#{self.reason}"


class ConfigurationError(JWTDepsError):
    """The configuration cannot work; the message says what to set.

    Attributes:
        reason: which mistake it is.
        message: the sentence without the anchor that it ends with in `str()`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} See {self.anchor}."


class AuthError(JWTDepsError):
    """A request that is refused.

    Attributes:
        reason: which rule refused it.
        code: the error code of RFC 6750 §3.1, `None` where the RFC wants a bare challenge.
        description: a sentence for the challenge's `error_description`.
        kid: the token's key id, for logs; `None` until the header has been read.
    """

    code: str | None = None

    def __init__(self, reason: Reason, description: str, detail: str | None = None) -> None:
        super().__init__(detail or f"Invalid token: {description}")
        self.reason: Reason = reason
        self.description = description
        self.kid: str | None = None

    @cached_property
    def step(self) -> Step:
        """Which check the rule belongs to."""
        return _STEPS.get(self.reason, Step.CLAIMS)


class MissingTokenError(AuthError):
    """The request carries no bearer credentials (RFC 6750 §3: no error code then)."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.MISSING, "The request carries no access token", detail)


class InvalidRequestError(AuthError):
    """The request carries credentials, but not one credential (RFC 6750 §3.1)."""

    code = "invalid_request"


class CrossSiteRequestError(AuthError):
    """A token in a cookie, on a request that another site caused."""

    def __init__(self) -> None:
        super().__init__(Reason.CROSS_SITE, "the cookie came with a cross-site request")


class InsufficientScopeError(AuthError):
    """The token is good and does not reach this far (RFC 6750 §3.1).

    Attributes:
        scopes: every scope that the operation needs, in the order declared.
    """

    code = "insufficient_scope"

    def __init__(self, scopes: Iterable[str]) -> None:
        super().__init__(Reason.SCOPE, "the access token lacks a scope that this needs")
        self.scopes = tuple(scopes)


class KeysUnavailableError(AuthError):
    """The issuer's keys cannot be fetched, so nobody knows whether the token is good.

    It is no `InvalidTokenError`: a client would throw a good token away.

    Attributes:
        retry_after: seconds after which to try again.
    """

    def __init__(self, retry_after: int) -> None:
        description = "the keys to check the access token with cannot be fetched now"
        super().__init__(Reason.KEYS_UNAVAILABLE, description, "Access token cannot be checked now")
        self.retry_after = retry_after


class InvalidTokenError(AuthError):
    """The token is expired, forged, foreign or not a token (RFC 6750 §3.1)."""

    code = "invalid_token"


class MalformedTokenError(InvalidTokenError):
    """The text is not a JWS in compact serialization that this package reads."""


class UnknownKeyError(InvalidTokenError):
    """No configured key is meant for this token's `kid` and `alg`."""

    def __init__(self) -> None:
        super().__init__(Reason.UNKNOWN_KEY, "no key is configured for it")


class SignatureError(InvalidTokenError):
    """The signature does not belong to the key that it was checked with."""

    def __init__(self) -> None:
        super().__init__(Reason.SIGNATURE, "signature verification failed")


class ExpiredTokenError(InvalidTokenError):
    """The token was good until its `exp` (RFC 7519 §4.1.4)."""

    def __init__(self) -> None:
        super().__init__(Reason.EXPIRED, "The access token expired", "Token has expired")


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
