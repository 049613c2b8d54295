"""What can go wrong with a token? One typed error per answer, and no HTTP in any of them.

    JWTDepsError
    ├── ConfigurationError            .reason, .message; for who deploys, never a response
    └── AuthError                     .reason, .code, .description
        ├── MissingTokenError         no credentials at all: a bare challenge
        ├── InvalidRequestError       invalid_request: two credentials where one belongs
        ├── CrossSiteRequestError     a cookie that another site made the browser send
        ├── InsufficientScopeError    insufficient_scope: .scopes
        ├── InsufficientAuthenticationError   .acr_values, .max_age (RFC 9470)
        ├── KeysUnavailableError      nobody can tell: the issuer's keys cannot be fetched
        │   └── RevocationUnavailableError  nor whether the token was revoked
        ├── DPoPProofError            invalid_dpop_proof: the proof that came with the token
        │   └── DPoPNonceError        use_dpop_nonce: .nonce
        ├── ReplaysUnavailableError   nobody can tell whether the proof has been used before
        └── InvalidTokenError         invalid_token
            ├── ConfirmationError     bound to a key or certificate that its sender lacks
            ├── MalformedTokenError   not a JWS that this package reads
            ├── UnknownKeyError       no configured key is meant for this token
            ├── SignatureError        the key is known, the signature is not its
            ├── ExpiredTokenError
            ├── RevokedTokenError
            └── ClaimError            .claim: the name, never the value

Messages are fixed sentences. They hold names from the configuration and names of claims,
never a value and never text from a token, so every one of them is safe to show and to log.

Every `.reason` is a section of the errors page, with the causes and what to do: `.anchor`.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from .reasons import Reason, Step, step_of

__all__ = [
    "AuthError",
    "ClaimError",
    "ConfigurationError",
    "ConfirmationError",
    "CrossSiteRequestError",
    "DPoPNonceError",
    "DPoPProofError",
    "ExpiredTokenError",
    "InsufficientAuthenticationError",
    "InsufficientScopeError",
    "InvalidRequestError",
    "InvalidTokenError",
    "JWTDepsError",
    "KeysUnavailableError",
    "MalformedTokenError",
    "MissingTokenError",
    "Reason",
    "ReplaysUnavailableError",
    "RevocationUnavailableError",
    "RevokedTokenError",
    "SignatureError",
    "Step",
    "UnknownKeyError",
]


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

    reason: Reason
    description: str
    code: str | None = None
    kid: str | None = None

    def __init__(self, reason: Reason, description: str, detail: str | None = None) -> None:
        Exception.__init__(self, detail or f"Invalid token: {description}")
        self.reason = reason
        self.description = description

    @cached_property
    def step(self) -> Step:
        """Which check the rule belongs to."""
        return step_of(self.reason)


class MissingTokenError(AuthError):
    """The request carries no bearer credentials (RFC 6750 §3: no error code then)."""

    reason = Reason.MISSING
    description = "The request carries no access token"

    def __init__(self, detail: str) -> None:
        Exception.__init__(self, detail)


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


class InsufficientAuthenticationError(AuthError):
    """The token is good, and its user has to authenticate again, or more strongly (RFC 9470 §3).

    Attributes:
        acr_values: the authentication context classes of which one is needed.
        max_age: how many seconds ago the user may have authenticated; `None`: whenever.
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
    """The issuer's keys cannot be fetched, so nobody knows whether the token is good.

    It is no `InvalidTokenError`: a client would throw a good token away.

    Attributes:
        retry_after: seconds after which to try again.
    """

    def __init__(self, retry_after: int) -> None:
        description = "the keys to check the access token with cannot be fetched now"
        super().__init__(Reason.KEYS_UNAVAILABLE, description, "Access token cannot be checked now")
        self.retry_after = retry_after


class RevocationUnavailableError(KeysUnavailableError):
    """Nobody knows whether the token was revoked: what knows it has been out of reach too long.

    Whoever handles the outage of an issuer handles this one as well.

    Attributes:
        retry_after: seconds after which to try again.
    """

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(retry_after)
        self.reason = Reason.REVOCATION_UNAVAILABLE
        self.step = Step.REVOCATION
        self.description = "whether the access token was revoked cannot be found out now"


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

    reason = Reason.SIGNATURE
    description = "signature verification failed"

    def __init__(self) -> None:
        Exception.__init__(self, f"Invalid token: {self.description}")


class ExpiredTokenError(InvalidTokenError):
    """The token was good until its `exp` (RFC 7519 §4.1.4)."""

    reason = Reason.EXPIRED
    description = "The access token expired"

    def __init__(self) -> None:
        Exception.__init__(self, "Token has expired")


class RevokedTokenError(InvalidTokenError):
    """The token was good until somebody took it back."""

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
    """The token is bound to a key or certificate (RFC 7800) that its sender did not prove to have.

    Or it is bound to none, where it must be.
    """


class DPoPProofError(AuthError):
    """The proof that came with a DPoP-bound token does not hold (RFC 9449 §7.1)."""

    code = "invalid_dpop_proof"

    def __init__(self, reason: Reason, description: str) -> None:
        super().__init__(reason, description, f"Invalid DPoP proof: {description}")


class DPoPNonceError(DPoPProofError):
    """The proof needs a nonce of this service (RFC 9449 §9).

    Attributes:
        nonce: the one to use.
    """

    code = "use_dpop_nonce"

    def __init__(self, nonce: str) -> None:
        super().__init__(Reason.PROOF_NONCE, "it needs the nonce that this service provides")
        self.nonce = nonce


class ReplaysUnavailableError(AuthError):
    """The replay store does not answer, so nobody knows whether the proof has been used before.

    Attributes:
        retry_after: seconds after which to try again.
    """

    def __init__(self, retry_after: int = 1) -> None:
        description = "whether the DPoP proof has been used before cannot be found out now"
        super().__init__(Reason.REPLAYS_UNAVAILABLE, description, "DPoP cannot be checked now")
        self.retry_after = retry_after
