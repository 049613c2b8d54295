"""Key providers: where an issuer's JWK Set is, one fetch of it, and key objects made of it."""

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from jwt_deps.jose import parse_document

from .discovery import discover, well_known_urls
from .http import Fetcher, FetchError, shown
from .key_set import KeySet, NoUsableKeyError, SkippedKey
from .lifetime import JWKSCacheSettings

logger = logging.getLogger("jwt_deps")

#: Seconds for which the address that discovery found is cached.
_DISCOVERY_TTL = 3600
#: The same where a key is not known: the issuer may have moved its keys and left the old ones.
_FORCED_DISCOVERY_TTL = 60


@dataclass(frozen=True, slots=True)
class JWKSetResponse:
    """An issuer's JWK Set (RFC 7517 §5), as it was fetched; it is fresh for so many seconds."""

    keys: KeySet = field(repr=False)
    skipped: tuple[SkippedKey, ...]
    seconds: float
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """State of an issuer's keys, for a readiness endpoint.

    A service that is `degraded` is ready: requests are served. A readiness check that fails with
    the keys takes every process out of service when the provider has an outage.

    Attributes:
        fresh: whether there are keys within their time.
        degraded: whether keys past their time are in use, because the last fetch failed.
        cooling_down: whether nothing is fetched now, after a failure.
        reloading: whether a fetch is under way.
        age: seconds since the keys were asked for; `None` without keys.
        keys: how many keys are usable, each counted once per algorithm.
        skipped: the members of the JWK Set that are not used, each with its `kid` and the reason.
        last_error: why the last fetch failed; `None` when it did not.
    """

    fresh: bool
    degraded: bool
    cooling_down: bool
    reloading: bool
    age: float | None
    keys: int
    skipped: tuple[str, ...]
    last_error: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    url: str = field(repr=False)
    at: float


class KeyProvider(ABC):
    """Fetches the keys of one issuer."""

    def __init__(
        self,
        *,
        algorithms: Sequence[str],
        policy: JWKSCacheSettings,
        most_unnamed: int,
        issuers: Sequence[str] = (),
    ) -> None:
        self._algorithms = tuple(algorithms)
        self._policy = policy
        self._options: dict[str, Any] = {"most_unnamed": most_unnamed, "issuers": issuers}

    @abstractmethod
    async def fetch(
        self, known: JWKSetResponse | None, *, now: float, forced: bool
    ) -> JWKSetResponse:
        """Fetch them; `keys` is the same object as before when they have not changed.

        `known` is what was fetched last, and `now` by the clock of the cache. If `forced`, caches
        on the way have to ask the origin.

        Raises:
            FetchError: there is no usable JWK Set.
        """

    def _read(self, place: str, body: bytes) -> JWKSetResponse:
        """Make keys of the JWK Set that a place has."""
        document: dict[str, Any] = {}
        with suppress(ValueError):
            document = parse_document(body)
        try:
            keys, skipped = KeySet.from_response(self._algorithms, document, **self._options)
        except ValueError as error:
            withdrawn = isinstance(error, NoUsableKeyError)
            raise FetchError(f"{place} {error}", withdrawn=withdrawn) from None
        return JWKSetResponse(keys, skipped, self._policy.ttl, "", body)


class HTTPKeyProvider(KeyProvider):
    """Fetches an issuer's keys: from `jwks_url`, else from where its discovery document says."""

    def __init__(
        self,
        issuer: str,
        *,
        fetcher: Fetcher,
        jwks_url: str | None = None,
        discovery_url: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._documents: tuple[str, ...] = (discovery_url,) if discovery_url else ()
        if jwks_url is None and discovery_url is None:
            self._documents = well_known_urls(issuer)
        self._found: _Found | None = None
        # Whether the address found did not answer in time: the issuer may have moved its keys.
        self._hangs = False
        self._fetcher = fetcher

    async def fetch(
        self, known: JWKSetResponse | None, *, now: float, forced: bool
    ) -> JWKSetResponse:
        """Fetch the keys from their address, which is looked for where it may have changed."""
        if self._jwks_url is not None:
            return await self._fetch_from(self._jwks_url, known, forced=forced)
        found = self._found
        ttl = _FORCED_DISCOVERY_TTL if forced else _DISCOVERY_TTL
        if found is None or self._hangs or now >= found.at + ttl:
            url = await self._discover(now, instead_of=found)
            return await self._fetch_from(url, known, forced=forced)
        try:
            return await self._fetch_from(found.url, known, forced=forced)
        except FetchError as error:
            # The issuer may have moved them: RFC 8414 does not promise a permanent URL.
            try:
                url = await self._discover(now)
            except FetchError as lost:
                lost.withdrawn = lost.withdrawn or error.withdrawn
                raise
            if url == found.url:
                raise
            return await self._fetch_from(url, known, forced=forced)

    async def _discover(self, now: float, *, instead_of: _Found | None = None) -> str:
        # A share of the time for everything is left for the keys: half of it, where there is an
        # address to fetch them from without a document.
        shares = 1 if instead_of is not None else len(self._documents)
        try:
            url = await discover(
                self._issuer,
                self._documents,
                self._fetcher,
                seconds=self._policy.timeout * shares / (shares + 1),
            )
        except FetchError as error:
            # An answer counts, even a useless one; only an outage leaves the old address in use.
            kept = _DISCOVERY_TTL + self._policy.stale_if_error
            if instead_of is None or not error.outage or now >= instead_of.at + kept:
                raise
            logger.warning("issuer %s: keys are taken where they were: %s", self._issuer, error)
            return instead_of.url
        self._found = _Found(url, now)
        return url

    async def _fetch_from(
        self, url: str, known: JWKSetResponse | None, *, forced: bool
    ) -> JWKSetResponse:
        same = known if known is not None and known.url == url else None
        etag = same.etag if same is not None and not forced else None
        self._hangs = False
        try:
            fetched = await self._fetcher.get(url, etag=etag, fresh=forced)
        except asyncio.CancelledError:  # the time for all of it is over
            self._hangs = True
            raise
        seconds = self._policy.seconds(fetched.cache_control, fetched.age)
        if same is not None and (fetched.is_known or fetched.body == same.body):
            return replace(same, seconds=seconds, etag=fetched.etag or same.etag)
        published = self._read(f"the document at {shown(url)}", fetched.body)
        return replace(published, seconds=seconds, url=url, etag=fetched.etag)


class KeySource(Protocol):
    """A source of keys for `key_source`: a vault, a key management service, a test."""

    async def fetch_keys(self) -> Mapping[str, Any]:
        """Return the JWK Set (RFC 7517 §5) as it is now.

        It is called as an issuer's address is asked: when the first token needs keys, from time to
        time, and for a key id that is not known, within the limits of `jwks_cache`. Whatever it
        raises counts as an outage: cached keys stay in use, and without any the answer is 503.

        Returns:
            The JWK Set: a mapping with `keys`.
        """
        ...


class SourceKeyProvider(KeyProvider):
    """Asks a `KeySource` for keys."""

    def __init__(self, source: KeySource, **options: Any) -> None:
        super().__init__(**options)
        self._source = source

    async def fetch(
        self,
        known: JWKSetResponse | None,
        *,
        now: float,  # noqa: ARG002 - of every provider
        forced: bool,  # noqa: ARG002 - likewise
    ) -> JWKSetResponse:
        """Ask for the keys."""
        try:
            body = json.dumps(dict(await self._source.fetch_keys())).encode()
        except Exception as error:  # noqa: BLE001 - the application's own code
            # The error of a library says what it likes, a secret among it.
            raise FetchError(f"key_source raised {type(error).__name__}") from None
        if known is not None and known.body == body:
            return replace(known, seconds=self._policy.ttl)
        return self._read("the answer of key_source", body)
