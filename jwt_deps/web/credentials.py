"""Credentials beside the JWT, under the same guard: API keys, and opaque tokens (RFC 7662)."""

import asyncio
import base64
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from fastapi.requests import HTTPConnection

from jwt_deps.concurrency import Answer, Answers, uptime
from jwt_deps.errors import (
    AuthError,
    ConfigurationError,
    InvalidTokenError,
    KeysUnavailableError,
    Reason,
    require_numbers,
)
from jwt_deps.jose import is_numeric_date, parse_document
from jwt_deps.keys import Fetcher, FetchError, host_of, origin_of_url, split_url
from jwt_deps.settings import HEADER_NAME
from jwt_deps.tokens import Claims

from .request_principal import settings_for, token_of

logger = logging.getLogger("jwt_deps")

_LONGEST_KEY = 4096
_TIMEOUT = 5
_MOST_CACHED = 4096
#: Tokens that the server is asked about at once.
_MOST_ASKED = 64
_MAX_BYTES = 64 * 1024

_DOTS_OF_A_JWE = 4
_NOT_BASE64 = re.compile("[^A-Za-z0-9+/_-]+")  # of either alphabet

_Found: TypeAlias = Claims | Mapping[str, Any] | None


class ApiKey:
    """Accept API keys in a header, for `credentials=[...]`.

        async def owner_of(key: str) -> Claims | None:
            known = await keys.find(ApiKey.digest(key))
            return None if known is None else Claims({"sub": known.owner, "scope": known.scopes})

        protect(app, settings, credentials=[ApiKey(owner_of)])

    Args:
        check: a function, plain or async, from the key to the claims of its owner, or to `None` if
            the key is not known, which is refused with 401. A plain one must not wait. Keep the
            digests of keys and not the keys, or compare them with `ApiKey.equal`.
        header: the header that carries the key, alone.

    Raises:
        ConfigurationError: `check` cannot be called, or the header is none, or `Authorization`,
            which has the token.
    """

    #: Whether the credential is the bearer token of the request, if that is no JWT.
    is_bearer = False

    def __init__(
        self, check: Callable[[str], _Found | Awaitable[_Found]], header: str = "X-API-Key"
    ) -> None:
        given: object = check
        named: object = header
        is_name = isinstance(named, str) and HEADER_NAME.fullmatch(named)
        if not (callable(given) and is_name) or header.lower() == "authorization":
            raise ConfigurationError(
                "api_key_form",
                "ApiKey takes a function from a key to Claims or None, and a header of its own.",
            )
        self._check = check
        self.header = header

    def __repr__(self) -> str:
        return f"<ApiKey in {self.header}>"

    async def __call__(self, connection: HTTPConnection) -> Claims | None:
        """Return the claims of the owner of the request's key; `None` without a key.

        Raises:
            InvalidTokenError: the key is not known, or there are several; 401.
        """
        sent = connection.headers.getlist(self.header)
        if not sent:
            return None
        found: Any = None
        if len(sent) == 1 and 0 < len(sent[0]) <= _LONGEST_KEY:
            found = self._check(sent[0])
            if isawaitable(found):
                found = await found
        if not found:  # an empty mapping is no owner
            raise InvalidTokenError(Reason.API_KEY, "the API key is not known")
        if not isinstance(found, Mapping):
            raise ConfigurationError(
                "credential_form",
                f"The function of ApiKey returned {type(found).__name__}: return Claims(...) of "
                "the key's owner, or None.",
            )
        return found if isinstance(found, Claims) else Claims(found)

    @property
    def scheme(self) -> dict[str, Any]:
        """What an OpenAPI document says of it."""
        return {"type": "apiKey", "in": "header", "name": self.header}

    @staticmethod
    def equal(given: str, known: str) -> bool:
        """Compare two keys in constant time.

        Args:
            given: the key of the request.
            known: the key that it has to be.

        Returns:
            Whether they are equal.
        """
        return hmac.compare_digest(given.encode(), known.encode())

    @staticmethod
    def digest(key: str) -> str:
        """Digest a key, to store and look up in its place.

        Args:
            key: a random key; a password could be guessed from its digest.

        Returns:
            Its SHA-256, in hexadecimal.
        """
        return hashlib.sha256(key.encode()).hexdigest()


class Introspection:
    """Accept opaque tokens by asking the authorization server (RFC 7662), for `credentials=[...]`.

        protect(app, settings, credentials=[Introspection(url, "orders", client_secret)])

    It is asked for tokens that are no JWT, and no JWT in another spelling. Of its answer `exp`,
    `nbf`, `aud`, `iss` and `cnf` are checked as in a JWT, where they are present. The server
    decides which tokens are meant for this service, so an answer without `aud` is accepted.

    Args:
        url: the introspection endpoint, `https://`.
        client_id: of this service at the server.
        client_secret: likewise; sent by HTTP Basic (RFC 6749 §2.3.1). `None` where the certificate
            is what the client authenticates with (RFC 8705 §2).
        issuer: the issuer whose server this is, one that the settings accept. Answers that name no
            `iss` are of its users, and those that name another one are refused. `None` takes what
            the answer says.
        cache_seconds: how long an answer is cached, never past the token's `exp`; a token that was
            revoked meanwhile is accepted for that long.
        inactive_seconds: how long the answer that a token is not active is cached.
        allow_loopback: whether the server may be on this machine, by plain `http` too.
        allow_http_hosts: hosts that may be asked by plain `http`.
        ca_file: certificate authorities in PEM that are trusted in place of the system's; this and
            the next two are read again when they have changed.
        certificate_file: a client certificate in PEM.
        key_file: its private key, without a password; `None` where the same file has it.

    Raises:
        ConfigurationError: the address or the certificate cannot be used, a number of seconds is
            none, the client has nothing to authenticate with, or `httpx2` is not installed.
    """

    def __init__(  # noqa: PLR0913 - each by name
        self,
        url: str,
        client_id: str,
        client_secret: str | None,
        *,
        issuer: str | None = None,
        cache_seconds: float = 30,
        inactive_seconds: float = 5,
        allow_loopback: bool = False,
        allow_http_hosts: tuple[str, ...] | list[str] = (),
        ca_file: Any = None,
        certificate_file: Any = None,
        key_file: Any = None,
    ) -> None:
        hosts = frozenset(map(str.lower, allow_http_hosts))
        try:
            split_url(url, allow_loopback=allow_loopback, http_hosts=hosts)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                "introspection_url", f"The url of Introspection {error}."
            ) from None
        require_numbers(cache_seconds=cache_seconds, inactive_seconds=inactive_seconds)
        self._url, self._issuer = url, issuer
        self._form, self._headers = {"token_type_hint": "access_token"}, {}
        client: object = client_id
        if not isinstance(client, str) or client_secret is certificate_file is None:
            raise ConfigurationError(
                "introspection_client",
                "Introspection needs client_id and client_secret, or certificate_file where the "
                "client authenticates with a certificate alone.",
            )
        if client_secret is None:
            self._form["client_id"] = client_id  # RFC 8705 §2
        else:
            # RFC 6749 §2.3.1: both are form-encoded first.
            pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
            encoded = base64.b64encode(pair.encode()).decode()
            self._headers = {"Authorization": f"Basic {encoded}"}
        self._cache_seconds, self._inactive_seconds = cache_seconds, inactive_seconds
        # An empty text becomes the path of a folder, which is refused, as an empty variable is.
        ca_file, certificate_file, key_file = (
            it if it is None else Path(it) for it in (ca_file, certificate_file, key_file)
        )
        self._fetcher = Fetcher(
            trusted_hosts={host_of(url)},
            allow_loopback=allow_loopback,
            ca_file=ca_file,
            http_hosts=hosts,
            origins={origin_of_url(url)},
            certificate_file=certificate_file,
            key_file=key_file,
            max_bytes=_MAX_BYTES,
            accept="application/json",
        )
        self.clock: Callable[[], float] = uptime
        self._answers: Answers[bytes, Claims] = Answers(
            accepted=_MOST_CACHED, refused=_MOST_CACHED, asked=_MOST_ASKED, timeout=_TIMEOUT
        )

    def __repr__(self) -> str:
        return f"<Introspection at {host_of(self._url)}>"

    async def __call__(self, connection: HTTPConnection) -> Claims | None:
        """Return what the authorization server says of the request's token; `None` without one.

        Raises:
            InvalidTokenError: the token is not active; 401.
            KeysUnavailableError: the server cannot be asked, or is asked about many others; 503.
        """
        settings = await settings_for(connection)
        try:
            token = await token_of(connection, settings)
        except AuthError:
            return None
        if not token.isascii():  # RFC 6750 §2.1
            raise InvalidTokenError(Reason.INACTIVE, "it has characters that no token has")
        if _is_respelled(token):
            return None
        # Not the token itself: it would be good as long as it is kept.
        name = hashlib.sha256(token.encode()).digest()
        answer = self._answers.get(name)
        if answer is None or self.clock() >= answer.ends:
            answer = await self._answers.ask(name, partial(self._ask, token))
        if answer is None:
            raise KeysUnavailableError(1)
        if answer.value is None:
            raise InvalidTokenError(Reason.INACTIVE, "the authorization server does not accept it")
        return answer.value

    #: Whether a server may not answer, which is 503.
    can_be_out_of_reach = True

    @property
    def scheme(self) -> dict[str, Any]:
        """What an OpenAPI document says of it."""
        return {"type": "http", "scheme": "bearer", "description": "An opaque token (RFC 7662)"}

    async def _ask(self, token: str) -> Answer[Claims] | None:
        asked_at = self.clock()
        form = urlencode({"token": token, **self._form}).encode()
        try:
            async with asyncio.timeout(_TIMEOUT):
                fetched = await self._fetcher.post(self._url, form, self._headers)
            answered = _read_answer(fetched.body)
        except (FetchError, TimeoutError, ValueError) as error:
            # A parser's error quotes what it read.
            said = str(error) if isinstance(error, FetchError) else "no introspection response"
            logger.error("a token cannot be introspected: %s", said)  # noqa: TRY400
            return None
        # Some servers write a member that is absent as null, and no audience as an empty list.
        document = {member: it for member, it in answered.items() if it is not None}
        if document.get("aud") in ("", []):
            del document["aud"]
        if self._issuer is not None:
            document.setdefault("iss", self._issuer)
        is_own = self._issuer in (None, document.get("iss"))
        claims, seconds = None, self._inactive_seconds
        if document.pop("active") and is_own and _is_access_token(document):
            claims, seconds = Claims(document), self._cache_seconds
            if is_numeric_date(expires := document.get("exp")):
                seconds = min(seconds, expires - time.time())
        return Answer(claims, asked_at + seconds)


def _is_respelled(token: str) -> bool:
    """Whether the header of a JWT is anywhere in a token that is none.

    A server that passes over what is wrong could accept a JWT that was refused here, or say less of
    it than it says itself: not its `jti`, which may be revoked, and not the key that it is bound
    to. A JWE, which this service cannot read, has five parts, and `enc` in its header (RFC 7516).
    """
    first, dots = token.partition(".")[0], token.count(".")
    is_encrypted = (
        dots == _DOTS_OF_A_JWE
        and not _NOT_BASE64.search(first)
        and b'"enc"' in next(_decoded(first))
    )
    return not is_encrypted and any(b'"alg"' in it for it in _decoded(token))


def _decoded(text: str) -> Iterator[bytes]:
    """Decode the base64 in a text, from each of its first four characters on."""
    letters = _NOT_BASE64.sub("", text)
    for start in range(4):
        end = len(letters) - (len(letters) - start) % 4
        yield base64.urlsafe_b64decode(letters[start:end])


def _read_answer(body: bytes) -> dict[str, Any]:
    answered = parse_document(body)
    if not isinstance(answered.get("active"), bool):  # REQUIRED (RFC 7662 §2.2)
        raise ValueError("active")  # noqa: TRY004 - as of every form that is wrong
    return answered


def _is_access_token(answer: Mapping[str, Any]) -> bool:
    """Whether a token is one that resources accept: servers introspect refresh tokens too.

    `token_type` is RFC 7662's, `token_use` Ory Hydra's and Cognito's, `typ` Keycloak's.
    """
    kinds = {str(answer[name]).lower() for name in _KIND_NAMES if answer.get(name) is not None}
    return kinds <= _ACCESS_KINDS and ("dpop" not in kinds or "cnf" in answer)


_KIND_NAMES = ("token_type", "token_use", "typ")
_ACCESS_KINDS = frozenset({
    *("bearer", "dpop", "access_token", "access", "jwt", "at+jwt"),
    "urn:ietf:params:oauth:token-type:access_token",
})  # fmt: skip
