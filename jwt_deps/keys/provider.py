"""What keys does an issuer publish? Discovery, one fetch, and a key object for each JWK."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from jwt_deps.jose.encoding import parse_object

from .discovery import discover, well_known_urls
from .http import Fetcher, FetchError, host_of, shown
from .key_set import KeySet
from .lifetime import JWKSCacheSettings

__all__ = ["KeyHealth", "KeyPublisher", "PublishedKeys", "Publisher"]

logger = logging.getLogger("jwt_deps")


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """What an issuer published, and where and how.

    Attributes:
        keys: ready to use.
        skipped: how many members of the set were unusable.
        seconds: how long they are fresh.
        url: where they were.
        body: the JWK Set itself.
        etag: its version, for asking again (RFC 9110 §8.8.3).
    """

    keys: KeySet = field(repr=False)
    skipped: int
    seconds: float
    url: str
    body: bytes = field(repr=False)
    etag: str | None = None


class Publisher(Protocol):
    """Knows how to ask one issuer for its keys."""

    async def fetch(
        self, known: PublishedKeys | None, *, now: float, forced: bool
    ) -> PublishedKeys:
        """Fetch them; `keys` is the same object as before when they have not changed.

        Raises:
            FetchError: there are none to be had.
        """
        ...

    def read(self, body: bytes) -> PublishedKeys:
        """Make keys of a JWK Set that was fetched elsewhere.

        Raises:
            ValueError: it is none, or nothing in it is usable.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """How an issuer's keys are, for a readiness endpoint.

    Being `degraded` is being ready: requests are served. Tying readiness to keys at all takes
    every process out of service when the provider has an outage; report it, and do not fail.

    Attributes:
        fresh: whether there are keys within their time.
        degraded: whether keys past their time are in use, because the last fetch failed.
        cooling_down: whether nothing is fetched now, after a failure.
        reloading: whether a fetch is under way.
        age: seconds since the keys were asked for; `None` without keys.
        keys: how many keys are usable, each counted once per algorithm.
        skipped: how many members of the JWK Set were not.
        last_error: why the last fetch failed; `None` when it did not.
    """

    fresh: bool
    degraded: bool
    cooling_down: bool
    reloading: bool
    age: float | None
    keys: int
    skipped: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    url: str
    at: float


class KeyPublisher:
    """One issuer, asked for its keys: at `jwks_url`, else where its own document says."""

    def __init__(  # noqa: PLR0913 - what an issuer's settings say
        self,
        issuer: str,
        *,
        algorithms: Sequence[str],
        policy: JWKSCacheSettings,
        jwks_url: str | None = None,
        discovery_url: str | None = None,
        ca_file: Path | None = None,
        allow_loopback: bool = False,
    ) -> None:
        """Prepare to ask; nothing is fetched yet.

        Args:
            issuer: its `iss`.
            algorithms: the allow-list.
            policy: every limit.
            jwks_url: of the JWK Set, if it is not to be discovered.
            discovery_url: of the discovery document, where it is not at its well-known place.
            ca_file: certificate authorities in PEM to trust in place of the system's.
            allow_loopback: whether keys may come from this machine, by `http` too.

        Raises:
            ConfigurationError: `httpx2` is not installed, or the authorities cannot be read.
        """
        self._issuer = issuer
        self._algorithms = tuple(algorithms)
        self._policy = policy
        self._jwks_url = jwks_url
        self._documents: tuple[str, ...] = (discovery_url,) if discovery_url else ()
        if jwks_url is None and discovery_url is None:
            self._documents = well_known_urls(issuer)
        self._allow_loopback = allow_loopback
        self._found: _Found | None = None
        self._fetcher = Fetcher(
            trusted_hosts={host_of(url) for url in (issuer, jwks_url, discovery_url) if url},
            allow_loopback=allow_loopback,
            ca_file=ca_file,
            connect_timeout=policy.connect_timeout,
            max_bytes=policy.max_bytes,
        )

    async def fetch(
        self, known: PublishedKeys | None, *, now: float, forced: bool
    ) -> PublishedKeys:
        """Fetch the keys; what has not changed since `known` is not built again.

        Args:
            known: what was fetched last.
            now: seconds, by the clock of the cache.
            forced: whether caches on the way have to ask the origin.

        Raises:
            FetchError: there are no usable keys to be had.
        """
        if self._jwks_url is not None:
            return await self._fetch_from(self._jwks_url, known, forced=forced)
        found = self._found
        if found is None or now >= found.at + self._policy.discovery_ttl:
            url = await self._discover(now, instead_of=found)
            return await self._fetch_from(url, known, forced=forced)
        try:
            return await self._fetch_from(found.url, known, forced=forced)
        except FetchError:
            # Perhaps the issuer has moved them (RFC 8414 promises no permanence).
            url = await self._discover(now)
            if url == found.url:
                raise
            return await self._fetch_from(url, known, forced=forced)

    def read(self, body: bytes) -> PublishedKeys:
        """Make keys of a JWK Set that was fetched elsewhere.

        Raises:
            ValueError: it is none, or nothing in it is usable.
        """
        document: dict[str, object] = {}
        with suppress(ValueError):
            document = parse_object(body)
        keys, skipped = KeySet.published(self._algorithms, document, self._policy.max_keys)
        return PublishedKeys(keys, skipped, self._policy.ttl, "", body)

    async def _discover(self, now: float, *, instead_of: _Found | None = None) -> str:
        # Half of the time for everything is left to fetch the keys where they were.
        limit = self._policy.timeout / 2 if instead_of is not None else None
        try:
            try:
                async with asyncio.timeout(limit):
                    url = await discover(
                        self._issuer,
                        self._documents,
                        self._fetcher,
                        allow_loopback=self._allow_loopback,
                    )
            except TimeoutError:
                raise FetchError(f"no discovery document within {limit:g} s") from None
        except FetchError as error:
            # What the issuer says now counts, even if it is nonsense; only silence does not.
            if instead_of is None or not error.outage or not self._is_believed(instead_of, now):
                raise
            logger.warning("issuer %s: keys are taken where they were: %s", self._issuer, error)
            return instead_of.url
        self._found = _Found(url, now)
        return url

    def _is_believed(self, found: _Found, now: float) -> bool:
        """Whether an old place is still good enough while the document cannot be had."""
        return now < found.at + self._policy.discovery_ttl + self._policy.stale_if_error

    async def _fetch_from(
        self, url: str, known: PublishedKeys | None, *, forced: bool
    ) -> PublishedKeys:
        same = known if known is not None and known.url == url else None
        etag = same.etag if same is not None and not forced else None
        fetched = await self._fetcher.get(url, etag=etag, fresh=forced)
        seconds = self._policy.seconds(fetched.cache_control, fetched.age)
        if same is not None and fetched.body in {None, same.body}:
            return replace(same, seconds=seconds, etag=fetched.etag or same.etag)
        try:
            published = self.read(fetched.body or b"")
        except ValueError as error:
            raise FetchError(f"the document at {shown(url)} {error}") from None
        return replace(published, seconds=seconds, url=url, etag=fetched.etag)
