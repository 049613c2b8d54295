"""Where does a test get a token? From a factory, good or wrong in any chosen way."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from jwt_deps.jose import SigningKey
from jwt_deps.settings import IssuerSettings, JWTSettings

from .invalid_tokens import Draft, Wrong, applies, spoil
from .naming import claims_for

__all__ = ["TokenFactory", "bearer", "isolated"]

#: A prefix under which nothing is configured, so that no `JWT_*` of a shell gets into a test.
_NO_ENVIRONMENT = "JWT_DEPS_TESTING_"


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token, for `headers=` of a client."""
    return {"Authorization": f"Bearer {token}"}


def isolated(values: Mapping[str, Any], make: type[JWTSettings] = JWTSettings) -> JWTSettings:
    """Settings of these values, whatever the environment holds."""
    given: dict[str, Any] = {"_env_prefix": _NO_ENVIRONMENT, **values}
    return make(**given)


class TokenFactory:
    """Makes tokens: what they say goes in, the token comes out.

        tokens = TokenFactory()
        with using_settings(app, tokens.settings):
            client.get("/notes", headers=bearer(tokens("alice", scopes=["notes:read"])))
            client.get("/notes", headers=bearer(tokens("alice", wrong=Wrong.EXPIRED)))

    It comes with `settings` that accept its tokens and read nothing from the environment, unless
    `for_settings` makes it for others. Claims stand under the names that the settings read.

    Args:
        key: what it signs with; `None` is a fresh secret, HS256.
        clock: seconds since the epoch.
        values: of `JWTSettings`; `issuer` and `audience` are set unless given, so that both are
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
        checking = {"secret_key": self.key.verification_text, "algorithm": self.key.algorithm}
        usual = {"issuer": "https://issuer.test", "audience": "api"}
        self.settings = isolated({**checking, **usual, **values})
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
        """Make tokens for settings that there are already.

        Args:
            settings: those of the application.
            key: what its tokens are signed with; `None` is the shared secret that is configured.
            issuer: of several issuers, the `iss` of the one whose tokens these are.
            clock: seconds since the epoch.

        Raises:
            ValueError: only public keys are configured and no key is given; or there are several
                issuers and none of them is named.
        """
        made = cls.__new__(cls)
        made.settings, made.clock = settings, clock
        found = settings.settings_of(issuer)
        if found is None:
            raise ValueError("there are several issuers: give issuer, the iss of one of them")
        made._issuer = found  # noqa: SLF001 - its own
        made.key = key or _secret_of(found)
        return made

    def __repr__(self) -> str:
        return f"<TokenFactory of {self.key.algorithm} tokens>"

    @property
    def ways(self) -> tuple[Wrong, ...]:
        """The ways to be wrong that the settings refuse: all, less what they do not check."""
        return tuple(way for way in Wrong if self._applies(way))

    def __call__(  # noqa: PLR0913 - each by name
        self,
        user_id: str | None = None,
        *,
        scopes: str | Iterable[str] = (),
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
            user_id: who it names; `None` is nobody.
            scopes: what it grants.
            session_id: of which session it is.
            claims: further claims; they win, and `None` leaves one out.
            audience: whom it is meant for; `None` is the first that is accepted.
            issuer: its `iss`; `None` likewise.
            expires_in: seconds until it expires.
            header: further members of its header; they win, and `None` leaves one out.
            wrong: what is wrong about it.

        Raises:
            ValueError: the settings do not check what is to be wrong.
        """
        now = self.clock()
        told = claims_for(
            self._issuer,
            user_id,
            scopes=scopes,
            session_id=session_id,
            claims=claims,
            now=now,
            issuer=issuer,
            audience=audience,
            expires_in=expires_in,
        )
        kid = None if self.key.is_secret else self.key.kid
        members = {"alg": self.key.algorithm, "typ": "JWT", "kid": kid, **(header or {})}
        named = {name: value for name, value in members.items() if value is not None}
        draft = Draft(named, told, self.key, self.settings, self._issuer, now)
        if wrong is None:
            return draft.signed()
        if not self._applies(wrong):
            raise ValueError(f"these settings do not check that; ways has all but {wrong.name}")
        return spoil(wrong, draft)

    def _applies(self, way: Wrong) -> bool:
        return applies(way, self.settings, self._issuer, self.key)


def _secret_of(settings: IssuerSettings) -> SigningKey:
    """The shared secret that is configured.

    Raises:
        ValueError: none is.
    """
    configured = [settings.secret_key, *settings.verification_keys]
    texts = [secret.get_secret_value() for secret in configured if secret is not None]
    for algorithm in settings.algorithms:
        for text in texts:
            if algorithm.startswith("HS") and "-----BEGIN" not in text:
                return SigningKey.load(text, algorithm)
    raise ValueError("only public keys are configured: give key, the SigningKey that they check")
