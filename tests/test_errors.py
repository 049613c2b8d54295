"""The tree of errors: one type per answer, fixed sentences, and no HTTP."""

import copy
import pickle
import re
from collections.abc import Callable

import pytest

import jwt_deps
from jwt_deps import errors
from jwt_deps.errors import (
    AuthError,
    ClaimError,
    ConfigurationError,
    CrossSiteRequestError,
    DPoPNonceError,
    ExpiredTokenError,
    InsufficientAuthenticationError,
    InsufficientPermissionsError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    JWTDepsError,
    MalformedTokenError,
    MissingTokenError,
    Reason,
    RevocationUnavailableError,
    RevokedTokenError,
    SignatureError,
    Step,
    TooManyProofsError,
    UnknownKeyError,
)

CLASSES = [
    it
    for it in vars(errors).values()
    if isinstance(it, type) and it.__module__.startswith("jwt_deps")
]
INSUFFICIENT = "Insufficient permissions"
SCOPE_MISSING = f"{INSUFFICIENT}: the access token lacks a scope that this needs"
OTHERS = [
    ConfigurationError("no_key", "There is no key."),
    InsufficientAuthenticationError(Reason.ACR, ["phr"], 60, ["read"]),
    RevocationUnavailableError(3),
    RevokedTokenError(),
    DPoPNonceError("nonce"),
    TooManyProofsError(3),
]
#: The error, its parent, its reason, RFC 6750's code, what it says.
ROWS: list[tuple[AuthError, type[AuthError], Reason, str | None, str]] = [
    (MissingTokenError("absent"), AuthError, Reason.MISSING, None, "absent"),
    (
        InvalidRequestError(Reason.REPEATED_CREDENTIALS, "several"),
        AuthError,
        Reason.REPEATED_CREDENTIALS,
        "invalid_request",
        "Invalid token: several",
    ),
    (
        CrossSiteRequestError(),
        AuthError,
        Reason.CROSS_SITE,
        None,
        "Invalid token: it came with a cross-site request",
    ),
    (
        InsufficientPermissionsError(Reason.ROLE, "no role", ["a"], ["role=b"]),
        AuthError,
        Reason.ROLE,
        "insufficient_scope",
        f"{INSUFFICIENT}: no role",
    ),
    (
        InsufficientScopeError(["a"]),
        InsufficientPermissionsError,
        Reason.SCOPE,
        "insufficient_scope",
        SCOPE_MISSING,
    ),
    *(
        (error, InvalidTokenError, reason, "invalid_token", text)
        for error, reason, text in (
            (MalformedTokenError(Reason.HEADER, "odd"), Reason.HEADER, "Invalid token: odd"),
            (UnknownKeyError(), Reason.UNKNOWN_KEY, "Invalid token: no key is configured for it"),
            (SignatureError(), Reason.SIGNATURE, "Invalid token: signature verification failed"),
            (ExpiredTokenError(), Reason.EXPIRED, "Token has expired"),
            (
                ClaimError(Reason.CLAIM_MISSING, "aud", "no aud"),
                Reason.CLAIM_MISSING,
                "Invalid token: no aud",
            ),
        )
    ),
]


class TestAuthErrors:
    @pytest.mark.parametrize(
        ("error", "parent", "reason", "code", "text"), ROWS, ids=[row[2] for row in ROWS]
    )
    def test_tree(
        self, error: AuthError, parent: type[AuthError], reason: Reason, code: str | None, text: str
    ) -> None:
        """Each has its place, a reason, a code and a text fit for a challenge, and no HTTP."""
        assert type(error).__bases__ == (parent,)
        assert (error.reason, error.code, str(error)) == (reason, code, text)
        assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", error.description)
        assert error.kid is None  # until a token's header has been read
        known = {"reason", "step", "description", "kid", "scopes", "needs", "claim"}
        assert set(vars(error)) <= known

    @pytest.mark.parametrize("reason", Reason)
    def test_every_reason_belongs_to_a_step(self, reason: Reason) -> None:
        """Those that several checks share belong to the claims, unless the error says more."""
        shared = {
            *(Reason.NOT_YET_VALID, Reason.CLAIM_MISSING, Reason.CLAIM_INVALID),
            *(Reason.CLAIM_FOREIGN, Reason.CONFIRMATION),
        }

        assert (reason in shared) == (AuthError(reason, "").step is Step.CLAIMS)

    def test_what_they_keep(self) -> None:
        """Every scope needed, in the order declared; the name of a claim."""
        error = InsufficientScopeError(scope for scope in ("write", "read", "admin"))

        assert error.scopes == ("write", "read", "admin")
        assert ClaimError(Reason.CLAIM_INVALID, "exp", "x").claim == "exp"


class TestTree:
    def test_everything_is_ours(self) -> None:
        """Every error of the package has the one base class."""
        others = [it for it in CLASSES if not issubclass(it, JWTDepsError)]

        assert others == [Step, Reason]

    def test_configuration_is_no_answer(self) -> None:
        """A mistake in the configuration is never an answer to a request."""
        assert ConfigurationError.__bases__ == (JWTDepsError,)
        assert not issubclass(ConfigurationError, AuthError)

    def test_every_error_is_exported(self) -> None:
        """Each class of the module is a public name of the package."""
        assert {it.__name__ for it in CLASSES} <= {*jwt_deps.__all__}

    @pytest.mark.parametrize("error", [*(row[0] for row in ROWS), *OTHERS], ids=repr)
    @pytest.mark.parametrize(
        "copied",
        [copy.copy, lambda it: pickle.loads(pickle.dumps(it))],  # noqa: S301 - its own
        ids=["copy", "pickle"],
    )
    def test_another_process_gets_the_same(
        self, error: JWTDepsError, copied: Callable[[JWTDepsError], JWTDepsError]
    ) -> None:
        """One bad token in a worker does not break a process pool."""
        received = copied(error)

        assert (type(error), str(error), error.args) == (
            type(received),
            str(received),
            received.args,
        )
        assert vars(error) == vars(received)


class TestReason:
    def test_reads_as_a_word(self) -> None:
        """A reason is its own text, fit for logs and metrics."""
        assert [reason for reason in Reason if not re.fullmatch(r"[a-z_]+", reason)] == []

    def test_survives_pickle(self) -> None:
        """A reason is the same one in another process."""
        assert pickle.loads(pickle.dumps(Reason.EXPIRED)) is Reason.EXPIRED  # noqa: S301
