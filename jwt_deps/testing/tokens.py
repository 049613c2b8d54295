"""Tokens for tests, valid or invalid in a chosen way, and the settings that accept them."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from jwt_deps.jose import SigningKey
from jwt_deps.settings import IssuerSettings, JWTSettings, shared_secrets
from jwt_deps.tokens import ClaimNames, access_token_claims

from .invalid_tokens import TokenParts, Wrong, is_checked, make_invalid
from .members import merge

#: A prefix that no variable has, so that `JWT_*` of a developer's shell does not affect tests.
_NO_ENVIRONMENT = "JWT_DEPS_TESTING_"


def bearer(token: str) -> dict[str, str]:
    """Make the `Authorization` header of a request.

        client.get("/notes", headers=bearer(tokens("alice")))

    Args:
        token: the access token.

    Returns:
        The header, for `headers=` of a test client.
    """
    return {"Authorization": f"Bearer {token}"}


def isolated(values: Mapping[str, Any], make: type[JWTSettings] = JWTSettings) -> JWTSettings:
    """Return settings with these values that read nothing from the environment."""
    given: dict[str, Any] = {"_env_prefix": _NO_ENVIRONMENT, **values}
    return make(**given)


class TokenFactory:
    """Make tokens, valid or invalid, and the `settings` that accept the valid ones.

        tokens = TokenFactory()
        with using_settings(app, tokens.settings):
            client.get("/notes", headers=bearer(tokens("alice", scopes=["notes:read"])))
            client.get("/notes", headers=bearer(tokens("alice", wrong=Wrong.EXPIRED)))

    The settings read nothing from the environment. Claims have the names that the settings read.
    `for_settings` makes a factory for other settings.

    Args:
        key: the key that signs; `None` generates a secret for HS256.
        clock: returns the time in seconds since the epoch.
        values: values of `JWTSettings`; `issuer` and `audience` have defaults, so that both are
            checked.

    Raises:
        ConfigurationError: the values contradict each other.
    """

    def __init__(
        self,
        key: SigningKey | None = None,
        *,
        clock: Callable[[], float] = time.time,
        **values: Any,
    ) -> None:
        self.key = key or SigningKey.generate("HS256")
        self.clock = clock
        keys = {"secret_key": self.key.verification_text, "algorithm": self.key.algorithm}
        checked = {"issuer": "https://issuer.test", "audience": "api"}
        self.settings = isolated({**keys, **checked, **values})
        self._issuer: IssuerSettings = self.settings

    @classmethod
    def for_settings(
        cls,
        settings: JWTSettings,
        *,
        key: SigningKey | None = None,
        issuer: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Make a factory for existing settings.

            tokens = TokenFactory.for_settings(get_settings())

        Args:
            settings: the settings of the application.
            key: the key that signs; `None` is the shared secret of the settings.
            issuer: with several issuers, the `iss` of the tokens.
            clock: returns the time in seconds since the epoch.

        Returns:
            The factory.

        Raises:
            ValueError: only public keys are configured and `key` is missing, or there are several
                issuers and `issuer` names none of them.
        """
        made = cls.__new__(cls)
        made.settings, made.clock = settings, clock
        found = settings.settings_of(issuer)
        if found is None:
            if settings.server.accepted.tenants is not None:
                raise ValueError("issuers is a function: make TokenFactory(key, issuer=...)")
            raise ValueError("the settings have several issuers: give issuer, the iss of one")
        made._issuer = found  # noqa: SLF001 - of this class
        made.key = key or _secret_of(found)
        return made

    def __repr__(self) -> str:
        return f"<TokenFactory of {self.key.algorithm} tokens>"

    @property
    def ways(self) -> tuple[Wrong, ...]:
        """The invalid token kinds that the settings refuse: all except what they do not check."""
        return tuple(kind for kind in Wrong if self._is_checked(kind))

    def __call__(  # noqa: PLR0913 - each by name
        self,
        user_id: str | None = None,
        *,
        scopes: str | Iterable[str] = (),
        roles: str | Iterable[str] = (),
        session_id: str | None = None,
        claims: Mapping[str, Any] | None = None,
        audience: str | list[str] | None = None,
        issuer: str | None = None,
        expires_in: float = 300,
        header: Mapping[str, Any] | None = None,
        wrong: Wrong | None = None,
    ) -> str:
        """Make a token.

        Args:
            user_id: the user's id; `None` leaves it out.
            scopes: the granted scopes, or one string with spaces between them; default none.
            roles: the granted roles, one text or several; default none.
            session_id: the session's id; `None` leaves it out.
            claims: further claims; they replace those of the same name, and `None` removes one.
            audience: the audience; `None` is the first that the settings accept.
            issuer: `iss`; `None` is the first that the settings accept.
            expires_in: seconds until the token expires.
            header: further members of the header; they replace those of the same name, and `None`
                removes one.
            wrong: the kind of invalid token to make; `None` makes a valid one.

        Returns:
            The token, a JWS in compact serialization.

        Raises:
            ValueError: the settings do not refuse this kind of invalid token, or have no
                `roles_claim` for the roles.
        """
        now = self.clock()
        payload = access_token_claims(
            ClaimNames.of(self._issuer),
            user_id,
            scopes=scopes,
            roles=roles,
            session_id=session_id,
            claims=None,
            now=now,
            expires_in=expires_in,
            issuer=issuer,
            audience=audience,
        )
        kid = None if self.key.is_secret else self.key.kid
        head = {"alg": self.key.algorithm, "typ": self._issuer.policy.typ, "kid": kid}
        members, told = merge(head, header), merge(payload, claims)
        parts = TokenParts(members, told, self.key, self.settings, self._issuer, now)
        if wrong is None:
            return parts.signed()
        if not self._is_checked(wrong):
            raise ValueError(f"the settings do not check this; ways has all but {wrong.name}")
        return make_invalid(wrong, parts)

    def _is_checked(self, kind: Wrong) -> bool:
        return is_checked(kind, self.settings, self._issuer, self.key)


def _secret_of(settings: IssuerSettings) -> SigningKey:
    """Return the shared secret of the settings.

    Raises:
        ValueError: they have only public keys.
    """
    for algorithm in settings.algorithms:
        for secret in shared_secrets(settings):
            if algorithm.startswith("HS"):
                return SigningKey.load(secret, algorithm)
    raise ValueError("only public keys are configured: give key, the matching SigningKey")
