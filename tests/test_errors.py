"""The tree of errors: one type per answer, fixed sentences, and no HTTP."""

import pickle
import re

import pytest

from jwt_deps import errors
from jwt_deps.errors import (
    AuthError,
    ClaimError,
    ConfigurationError,
    CrossSiteRequestError,
    ExpiredTokenError,
    InsufficientPermissionsError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    JWTDepsError,
    MalformedTokenError,
    MissingTokenError,
    Reason,
    SignatureError,
    Step,
    UnknownKeyError,
)

ROWS = [
    # the error, its parent, its reason, RFC 6750's code, what it says
    pytest.param(
        MissingTokenError("Authorization header missing"),
        AuthError,
        Reason.MISSING,
        None,
        "Authorization header missing",
        id="missing",
    ),
    pytest.param(
        InvalidRequestError(Reason.REPEATED_CREDENTIALS, "several"),
        AuthError,
        Reason.REPEATED_CREDENTIALS,
        "invalid_request",
        "Invalid token: several",
        id="invalid-request",
    ),
    pytest.param(
        CrossSiteRequestError(),
        AuthError,
        Reason.CROSS_SITE,
        None,
        "Invalid token: the cookie came with a cross-site request",
        id="cross-site",
    ),
    pytest.param(
        InsufficientPermissionsError(Reason.ROLE, "no role", ["a"], ["role=b"]),
        AuthError,
        Reason.ROLE,
        "insufficient_scope",
        "Insufficient permissions: no role",
        id="role",
    ),
    pytest.param(
        InsufficientScopeError(["a"]),
        InsufficientPermissionsError,
        Reason.SCOPE,
        "insufficient_scope",
        "Insufficient permissions: the access token lacks a scope that this needs",
        id="scope",
    ),
    pytest.param(
        MalformedTokenError(Reason.HEADER, "no header"),
        InvalidTokenError,
        Reason.HEADER,
        "invalid_token",
        "Invalid token: no header",
        id="malformed",
    ),
    pytest.param(
        UnknownKeyError(),
        InvalidTokenError,
        Reason.UNKNOWN_KEY,
        "invalid_token",
        "Invalid token: no key is configured for it",
        id="unknown-key",
    ),
    pytest.param(
        SignatureError(),
        InvalidTokenError,
        Reason.SIGNATURE,
        "invalid_token",
        "Invalid token: signature verification failed",
        id="signature",
    ),
    pytest.param(
        ExpiredTokenError(),
        InvalidTokenError,
        Reason.EXPIRED,
        "invalid_token",
        "Token has expired",
        id="expired",
    ),
    pytest.param(
        ClaimError(Reason.CLAIM_MISSING, "aud", "it names no audience"),
        InvalidTokenError,
        Reason.CLAIM_MISSING,
        "invalid_token",
        "Invalid token: it names no audience",
        id="claim",
    ),
]


class TestAuthErrors:
    @pytest.mark.parametrize(("error", "parent", "reason", "code", "text"), ROWS)
    def test_tree(
        self,
        error: AuthError,
        parent: type[AuthError],
        reason: Reason,
        code: str | None,
        text: str,
    ) -> None:
        """Each error has its place in the tree, a reason, the RFC's code and a fixed text."""
        assert type(error).__bases__ == (parent,)
        assert (error.reason, error.code, str(error)) == (reason, code, text)

    @pytest.mark.parametrize("error", [pytest.param(row.values[0], id=row.id) for row in ROWS])
    def test_description(self, error: AuthError) -> None:
        """The description is made of the characters that a challenge can carry."""
        assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", error.description)

    @pytest.mark.parametrize("error", [pytest.param(row.values[0], id=row.id) for row in ROWS])
    def test_knows_no_http(self, error: AuthError) -> None:
        """No error carries a status or a header."""
        known = set(vars(error))

        assert known <= {"reason", "step", "description", "kid", "scopes", "needs", "claim"}

    @pytest.mark.parametrize("error", [pytest.param(row.values[0], id=row.id) for row in ROWS])
    def test_has_no_kid_until_told(self, error: AuthError) -> None:
        """The key id is absent until a token's header has been read."""
        assert error.kid is None

    @pytest.mark.parametrize("reason", Reason)
    def test_every_reason_belongs_to_a_step(self, reason: Reason) -> None:
        """Those that several checks share belong to the claims, unless the error says more."""
        shared = {
            Reason.NOT_YET_VALID,
            Reason.CLAIM_MISSING,
            Reason.CLAIM_INVALID,
            Reason.CLAIM_FOREIGN,
            Reason.CONFIRMATION,
        }

        assert (reason in shared) == (AuthError(reason, "").step is Step.CLAIMS)

    def test_scopes_keep_their_order(self) -> None:
        """Every scope needed is kept, in the order declared."""
        error = InsufficientScopeError(scope for scope in ("write", "read", "admin"))

        assert error.scopes == ("write", "read", "admin")

    def test_claim_is_the_name(self) -> None:
        """A claim's error knows which claim it was."""
        assert ClaimError(Reason.CLAIM_INVALID, "exp", "x").claim == "exp"


class TestTree:
    def test_everything_is_ours(self) -> None:
        """Every error of the package has the one base class."""
        raised = [
            getattr(errors, name) for name in errors.__all__ if name not in {"Reason", "Step"}
        ]

        assert [error for error in raised if not issubclass(error, JWTDepsError)] == []

    def test_configuration_is_no_answer(self) -> None:
        """A mistake in the configuration is never an answer to a request."""
        assert ConfigurationError.__bases__ == (JWTDepsError,)
        assert not issubclass(ConfigurationError, AuthError)

    def test_every_error_is_exported(self) -> None:
        """`__all__` lists each class of the module."""
        ours = [
            name
            for name, value in vars(errors).items()
            if isinstance(value, type) and value.__module__.startswith("jwt_deps")
        ]

        assert sorted(ours) == sorted(errors.__all__)


class TestReason:
    def test_reads_as_a_word(self) -> None:
        """A reason is its own text, fit for logs and metrics."""
        assert [reason for reason in Reason if not re.fullmatch(r"[a-z_]+", reason)] == []

    def test_survives_pickle(self) -> None:
        """A reason is the same one in another process."""
        assert pickle.loads(pickle.dumps(Reason.EXPIRED)) is Reason.EXPIRED  # noqa: S301
