"""A provider without a network, caches and settings for the tests of fetched keys."""

import asyncio
import json
import selectors
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jwt_deps import JWTSettings
from jwt_deps.keys import FetchError, JWKSCacheSettings, KeyCache, KeySet
from jwt_deps.keys.provider import JWKSetResponse, KeyProvider
from jwt_deps.testing import FakeIssuer, VirtualClock
from tests.minting import pair

if TYPE_CHECKING:
    from jwt_deps.keys.key_set import SkippedKey

#: What the keys of the tests sign with: quick to make, quick to check.
ALGORITHM = "ES256"
DOWN = FetchError("it is down")

MINUTE = 60.0
HOUR = 60 * MINUTE


@dataclass(frozen=True)
class Asked:
    """What a cache has asked its provider."""

    at: float
    forced: bool
    known: JWKSetResponse | None


class FakeProvider(KeyProvider):
    """Publishes keys with these names until it is told otherwise.

    What it says is settled when it is asked, also if it says it later: `gate` makes it wait.
    """

    def __init__(self, *kids: str) -> None:
        self.kids = kids
        self.error: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.seconds = 600.0
        self.skipped: tuple[SkippedKey, ...] = ()
        self.asked: list[Asked] = []
        self.inside: Callable[[], None] = lambda: None

    async def fetch(
        self, known: JWKSetResponse | None, *, now: float, forced: bool
    ) -> JWKSetResponse:
        self.asked.append(Asked(now, forced, known))
        self.inside()
        error, gate, body = self.error, self.gate, json.dumps(self.kids).encode()
        await (asyncio.sleep(0) if gate is None else gate.wait())
        if error is not None:
            raise error
        if known is not None and known.body == body:
            return replace(known, seconds=self.seconds)
        return self.read(body)

    def read(self, body: bytes) -> JWKSetResponse:
        jwks = {"keys": [pair("P-256").jwk(kid=kid) for kid in json.loads(body)]}
        keys, _ = KeySet.from_response([ALGORITHM], jwks)
        return JWKSetResponse(keys, self.skipped, self.seconds, "", body)

    @property
    def forced(self) -> int:
        """How often it was asked past every cache."""
        return sum(asked.forced for asked in self.asked)


def cache_of(
    provider: FakeProvider, clock: Callable[[], float] | None = None, **policy: Any
) -> KeyCache:
    """A cache of what a provider says."""
    clock = clock or VirtualClock()
    return KeyCache("the-issuer", provider, JWKSCacheSettings(**policy), clock=clock)


class Keys:
    """A cache of the key `a`, the provider that it asks, and the time that both go by."""

    def __init__(self) -> None:
        self.provider, self.clock = FakeProvider("a"), VirtualClock(0)
        self.limit()

    def limit(self, **policy: Any) -> None:
        """Begin anew with another policy."""
        self.cache = cache_of(self.provider, self.clock, **policy)

    async def ask(self, kid: str | None = "a", algorithm: str = ALGORITHM) -> object:
        """The names of the keys that a token gets, or the type of the error."""
        return await outcome(self.cache, kid, algorithm)

    async def many(self, kid: str, number: int = 100) -> list[object]:
        """The same for so many tokens at once."""
        return list(await asyncio.gather(*(self.ask(kid) for _ in range(number))))

    def waits(self, kid: str = "a") -> bool:
        """Whether a caller has to wait for its keys."""
        return waited(self.cache, kid)

    async def landed(self) -> None:
        """Wait until no fetch is under way."""
        await landed(self.cache)

    def stop(self) -> None:
        """Stop the fetch that is under way, as an event loop does that ends."""
        if self.cache._flight is not None:
            self.cache._flight._task.cancel()

    @property
    def fetches(self) -> int:
        """How often the provider was asked."""
        return len(self.provider.asked)

    @property
    def forced(self) -> int:
        """How often it was asked past every cache."""
        return self.provider.forced


async def landed(cache: KeyCache) -> None:
    """Wait until no fetch is under way."""
    if cache._flight is not None and cache._flight.is_running():
        await cache._flight.wait()


async def outcome(cache: KeyCache, kid: str | None, algorithm: str = ALGORITHM) -> object:
    """The names of the keys that a token gets, or the type of the error."""
    try:
        return [key.kid for key in await cache.choose(algorithm, kid)]
    except Exception as error:  # noqa: BLE001 - which one is the question
        return type(error)


def waited(cache: KeyCache, kid: str | None) -> bool:
    """Whether a caller had to wait for its keys; call it in an event loop."""
    coroutine = cache.choose(ALGORITHM, kid)
    try:
        coroutine.send(None)
    except StopIteration:
        return False
    coroutine.close()
    return True


@dataclass
class Service:
    """A service that accepts the tokens of an issuer, and knows its own time."""

    settings: JWTSettings
    clock: VirtualClock

    @property
    def cache(self) -> KeyCache:
        """Its keys."""
        cache = next(iter(self.settings.policy.key_caches), None)
        assert cache is not None
        return cache


def service_of(issuer: FakeIssuer, *, direct: bool = False, **policy: Any) -> Service:
    """A service that discovers where the keys are, or, if `direct`, was told."""
    place: dict[str, Any] = {"jwks_url": issuer.jwks_url} if direct else {"discovery": True}
    settings = JWTSettings(
        issuer=issuer.issuer,
        audience="api",
        allow_loopback=True,
        jwks_cache=JWKSCacheSettings(**policy),
        **place,
    )
    service = Service(settings, VirtualClock())
    service.cache.clock = service.clock
    return service


class _Selector(selectors.DefaultSelector):
    """Waits for nothing, and counts the seconds that it was asked to wait."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.passed += timeout or 0
        return super().select(0)


class LoopOfVirtualTime(asyncio.SelectorEventLoop):
    """A loop whose time passes at once when all it does is wait: a busy machine changes nothing."""

    def __init__(self) -> None:
        self._waiting = _Selector()
        super().__init__(self._waiting)

    def time(self) -> float:
        return self._waiting.passed
