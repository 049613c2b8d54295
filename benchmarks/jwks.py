"""The bounds of the cache of fetched keys, each under load over HTTP.

    python -m benchmarks.jwks

The issuer is `FakeIssuer` on the loopback interface; hours pass by a virtual clock. It prints one
Markdown table, and fails when a bound is not kept. The tests run the same scenes.
"""

import asyncio
import base64
import gc
import json
import logging
import os
import platform
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from typing import Any, TypeVar
from uuid import uuid4

from jwt_deps import AuthError, JWTSettings, KeysUnavailableError, UnknownKeyError
from jwt_deps.keys import JWKSCacheSettings
from jwt_deps.testing import Answer, FakeIssuer, VirtualClock
from jwt_deps.tokens.verify import verify

__all__ = [
    "ELSEWHERE",
    "MEMORY",
    "OUTAGES",
    "POLICY",
    "WITHDRAWN",
    "Flood",
    "Outage",
    "Withdrawal",
    "cold_start",
    "detour",
    "flood",
    "memory",
    "most_within",
    "outage",
    "rotation_after_strangers",
    "rotation_ahead_of_use",
    "rotation_with_overlap",
    "rotation_without_overlap",
    "withdrawal",
]

POLICY = JWKSCacheSettings()
HOUR = 3600

#: Most fetches that unknown key ids may force in any 30 seconds.
FORCED = 2
#: Seconds between further ones.
FORCED_EVERY = 30

#: What a garbage collector may leave lying about, in bytes.
MEMORY = 64 * 1024

MeasuredT = TypeVar("MeasuredT")

#: The ways in which an issuer is out of reach: its answers to requests.
OUTAGES: dict[str, Callable[[FakeIssuer], None]] = {
    "refused": FakeIssuer.down,
    "hang": lambda issuer: setattr(issuer, "jwks", Answer(hang=True)),
    "500": lambda issuer: setattr(issuer, "jwks", Answer(status=500)),
    "html": lambda issuer: setattr(issuer, "jwks", Answer.html()),
}

#: What is found at the first well-known place of an issuer whose document is at the next.
ELSEWHERE = {
    "503": Answer(status=503),
    "429": Answer(status=429),
    "hang": Answer(hang=True),
    "html": Answer.html(),
}

#: The answers of an issuer that has withdrawn its keys, and published no other.
WITHDRAWN = {
    "empty set": Answer.json({"keys": []}),
    "`use: enc`": Answer.json({"keys": [{"kty": "RSA", "use": "enc", "kid": "a"}]}),
    "404": Answer(status=404),
    "410": Answer(status=410),
}


class Service:
    """A service that accepts an issuer's tokens, and counts what becomes of them."""

    def __init__(self, issuer: FakeIssuer, *, discovery: bool = False, **policy: Any) -> None:
        self.clock = VirtualClock()
        self.settings = JWTSettings(
            issuer=issuer.issuer,
            audience="api",
            jwks_url=None if discovery else issuer.jwks_url,
            discovery=discovery,
            allow_loopback=True,
            jwks_cache=JWKSCacheSettings(**policy),
        )
        cache = next(iter(self.settings.policy.key_caches))
        if cache is None:
            raise RuntimeError("the keys of these settings are not fetched")
        cache.clock = self.clock
        self.cache = cache
        self.outcomes = Counter[str]()
        self.waits = 0
        self.times: list[float] = []

    @property
    def refusals(self) -> int:
        """How many tokens were not accepted."""
        return self.outcomes.total() - self.outcomes["accepted"]

    async def ask(self, token: str) -> bool:
        """One request, and whether it was accepted."""
        watched = _Watched(verify(token, self.settings))
        outcome, begun = "accepted", time.perf_counter()
        try:
            await watched
        except AuthError as error:
            outcome = type(error).__name__
        self.times.append(time.perf_counter() - begun)
        self.waits += watched.waits > 0
        self.outcomes[outcome] += 1
        return outcome == "accepted"

    async def fend_off(self, forged: str) -> None:
        """One request that is not counted."""
        with suppress(UnknownKeyError, KeysUnavailableError):
            await verify(forged, self.settings)

    async def settle(self) -> None:
        """Let the fetch in the background come to its end, however long that takes."""
        while self.cache.health().reloading:  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.0005)


class _Watched:
    """Awaits a coroutine and counts how often that had to wait for something."""

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self._coroutine = coroutine
        self.waits = 0

    def __await__(self) -> Generator[Any, None, object]:
        steps = self._coroutine.__await__()
        while True:
            try:
                future = next(steps)
            except StopIteration as end:
                return end.value
            self.waits += 1
            yield future


# The scenes


def cold_start(callers: int = 1000) -> tuple[int, int]:
    """How many fetches, and refusals, callers cause who come at once and before there are keys."""

    async def scene(issuer: FakeIssuer) -> tuple[int, int]:
        service = Service(issuer)
        token = issuer.token(audience="api")
        await asyncio.gather(*(service.ask(token) for _ in range(callers)))
        return issuer.count("jwks"), service.refusals

    return _with_issuer(scene)


@dataclass(frozen=True)
class Flood:
    """What tokens with made-up key ids have caused."""

    tokens: int
    virtual_seconds: float
    forced_at: list[float] = field(repr=False)
    outcomes: Counter[str]
    real_seconds: float

    @property
    def most_in_30_seconds(self) -> int:
        """Forced fetches, in the worst half-open span of 30 seconds."""
        return most_within(30, self.forced_at)


def flood(tokens: int = 100_000, per_second: float = 500, together: int = 100) -> Flood:
    """Let a stranger make up key ids, in bursts, while nothing else happens."""

    async def scene(issuer: FakeIssuer) -> Flood:
        service = Service(issuer)
        await service.ask(issuer.token(audience="api"))
        service.outcomes.clear()
        forge, forced_at = _forger(issuer), list[float]()
        beginning = time.perf_counter()
        for _ in range(tokens // together):
            before = _forced(issuer)
            await asyncio.gather(*(service.ask(forge()) for _ in range(together)))
            forced_at += [service.clock()] * (_forced(issuer) - before)
            service.clock.advance(together / per_second)
        spent = time.perf_counter() - beginning
        return Flood(tokens, tokens / per_second, forced_at, service.outcomes, spent)

    return _with_issuer(scene)


def memory(tokens: int = 10_000) -> int:
    """How many bytes are held after the second half of a flood that were not after the first."""

    async def scene(issuer: FakeIssuer) -> int:
        service = Service(issuer)
        await service.ask(issuer.token(audience="api"))
        forge = _forger(issuer)

        async def half() -> int:
            for _ in range(tokens // 200):
                await asyncio.gather(*(service.ask(forge()) for _ in range(100)))
                service.times.clear()
                service.clock.advance(1)
            await service.settle()
            issuer.requests.clear()
            gc.collect()  # garbage is not held memory
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            first = await half()
            return await half() - first
        finally:
            tracemalloc.stop()

    return _with_issuer(scene)


@dataclass(frozen=True)
class Outage:
    """What an outage did to requests, one every ten seconds."""

    requests: int
    refusals: int
    waits: int
    attempts: int
    healthy: list[float] = field(repr=False)
    during: list[float] = field(repr=False)


def outage(kind: str, seconds: float = HOUR, step: float = 10) -> Outage:
    """Take the issuer away from a service that has its keys, right after they were fetched."""

    async def scene(issuer: FakeIssuer) -> Outage:
        # A tenth of a second in place of five: an issuer that hangs costs that time 60 times.
        service = Service(issuer, timeout=0.1)
        token = issuer.token(audience="api", expires_in=10 * HOUR)
        await service.cache.refresh()
        for _ in range(200):
            await service.ask(token)
        healthy, service.times = service.times, []
        before = issuer.count("jwks")
        OUTAGES[kind](issuer)
        service.outcomes.clear()
        service.waits = attempts = 0
        for _ in range(int(seconds / step)):
            await service.ask(token)
            attempts += service.cache.health().reloading
            await service.settle()
            service.clock.advance(step)
        attempts = max(attempts, issuer.count("jwks") - before)
        requests = service.outcomes.total()
        return Outage(requests, service.refusals, service.waits, attempts, healthy, service.times)

    return _with_issuer(scene)


def rotation_with_overlap(overlap: float = 30) -> tuple[int, int]:
    """Refusals and requests when a new key signs at once, and the old one stays for a while."""

    async def scene(issuer: FakeIssuer) -> tuple[int, int]:
        service = Service(issuer)
        old = issuer.token(audience="api")
        await service.ask(old)
        issuer.rotate()
        new = issuer.token(audience="api")
        for _ in range(int(overlap)):
            await asyncio.gather(*(service.ask(token) for token in (old, new) * 10))
            service.clock.advance(1)
        issuer.withdraw(issuer.keys[0].kid)
        for _ in range(HOUR // 10):  # until long after the old one has gone
            await service.ask(new)
            await service.settle()
            service.clock.advance(10)
        return service.refusals, service.outcomes.total()

    return _with_issuer(scene)


def rotation_without_overlap(callers: int = 100) -> tuple[int, int]:
    """Refusals and fetches when the set is replaced, and tokens of the new key come at once."""

    async def scene(issuer: FakeIssuer) -> tuple[int, int]:
        service = Service(issuer)
        await service.ask(issuer.token(audience="api"))
        issuer.rotate(overlap=False)
        before, token = issuer.count("jwks"), issuer.token(audience="api")
        await asyncio.gather(*(service.ask(token) for _ in range(callers)))
        return service.refusals, issuer.count("jwks") - before

    return _with_issuer(scene)


def rotation_ahead_of_use(ahead: float = 30) -> tuple[int, int]:
    """Refusals and requests when a key is published before it signs, and strangers flood."""

    async def scene(issuer: FakeIssuer) -> tuple[int, int]:
        service, forge = Service(issuer), _forger(issuer)

        async def seconds(count: float, *good: str) -> None:
            for _ in range(int(count)):
                await asyncio.gather(*(service.fend_off(forge()) for _ in range(10)))
                await asyncio.gather(*(service.ask(token) for token in good))
                service.clock.advance(1)

        first = issuer.token(audience="api")
        await seconds(100, first)
        issuer.rotate()
        await seconds(ahead, first)
        await seconds(100, first, issuer.token(audience="api"))
        return service.refusals, service.outcomes.total()

    return _with_issuer(scene)


def rotation_after_strangers(strangers: int = 3) -> tuple[int, set[str]]:
    """Seconds until a new key without overlap is accepted, and what its tokens got until then.

    Just before, tokens with made-up key ids have used up the forced fetches.
    """

    async def scene(issuer: FakeIssuer) -> tuple[int, set[str]]:
        service, forge = Service(issuer), _forger(issuer)
        await service.ask(issuer.token(audience="api"))
        for _ in range(strangers):
            await service.fend_off(forge())
        issuer.rotate(overlap=False)
        token, seconds = issuer.token(audience="api"), 0
        service.outcomes.clear()
        while not await service.ask(token):
            service.clock.advance(1)
            seconds += 1
        return seconds, set(service.outcomes) - {"accepted"}

    return _with_issuer(scene)


def detour(answer: Answer) -> int:
    """How many of a hundred first requests are refused when the document is at the second place."""

    async def scene(issuer: FakeIssuer) -> int:
        issuer.discovery_paths = {"/.well-known/openid-configuration"}
        issuer.elsewhere = answer
        service = Service(issuer, discovery=True)
        token = issuer.token(audience="api")
        await asyncio.gather(*(service.ask(token) for _ in range(100)))
        return service.refusals

    return _with_issuer(scene)


@dataclass(frozen=True)
class Withdrawal:
    """For how long a withdrawn key was accepted, and what came then."""

    seconds: float
    then: str


def withdrawal(
    *,
    reachable: bool = True,
    cache_control: str | None = None,
    answer: Answer | None = None,
    step: float = 5,
) -> Withdrawal:
    """Withdraw a key right after it was fetched, and go on with a token that it has signed."""

    async def scene(issuer: FakeIssuer) -> Withdrawal:
        issuer.cache_control = cache_control
        service = Service(issuer)
        token = issuer.token(audience="api", expires_in=10 * HOUR)
        await service.ask(token)
        began = accepted = service.clock()
        issuer.rotate()
        issuer.withdraw(issuer.keys[0].kid)
        issuer.jwks = answer
        if not reachable:
            issuer.down()
        while service.clock() < accepted + 600:
            service.outcomes.clear()
            if await service.ask(token):
                accepted = service.clock()
            await service.settle()
            service.clock.advance(step)
        return Withdrawal(accepted - began, *service.outcomes)

    return _with_issuer(scene)


def most_within(seconds: float, moments: Iterable[float]) -> int:
    """How many of the moments are in the fullest half-open span of that length."""
    moments = sorted(moments)
    return max((sum(a <= b < a + seconds for b in moments) for a in moments), default=0)


def _with_issuer(scene: Callable[[FakeIssuer], Coroutine[Any, Any, MeasuredT]]) -> MeasuredT:
    with FakeIssuer(algorithm="ES256") as issuer:
        return asyncio.run(scene(issuer))


def _forger(issuer: FakeIssuer) -> Callable[[], str]:
    """Tokens that are good in everything but their key, of which there is none."""
    _, payload, signature = issuer.token(audience="api", expires_in=10 * HOUR).split(".")

    def forge() -> str:
        header = json.dumps({"alg": "ES256", "typ": "JWT", "kid": uuid4().hex}).encode()
        return f"{base64.urlsafe_b64encode(header).decode().rstrip('=')}.{payload}.{signature}"

    return forge


def _forced(issuer: FakeIssuer) -> int:
    """How many requests went past every cache on the way, which only an unknown key causes."""
    return sum("cache-control" in request.headers for request in issuer.requests)


# The command


@dataclass(frozen=True)
class Row:
    """A bound, and what became of it."""

    bound: str
    promised: str
    measured: str
    kept: bool


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} µs"


def _cold_row() -> Row:
    fetches, refusals = cold_start()
    return Row(
        "1,000 concurrent requests before there are keys",
        "1 fetch, none refused",
        f"{fetches} fetch, {refusals} refused",
        (fetches, refusals) == (1, 0),
    )


def _flood_rows() -> Iterator[Row]:
    found = flood()
    forced = len(found.forced_at)
    yield Row(
        f"{found.tokens:,} tokens with random key ids in {found.virtual_seconds:.0f} s",
        "at most 2 forced fetches in any 30 s",
        f"at most {found.most_in_30_seconds} in 30 s, {forced} in all; "
        f"{_microseconds(found.real_seconds / found.tokens)} per token",
        found.most_in_30_seconds <= FORCED and "accepted" not in found.outcomes,
    )
    grown = memory()
    yield Row(
        "5,000 more of them, after as many",
        f"memory grows by less than {MEMORY // 1024} KiB",
        f"{grown / 1024:+.1f} KiB",
        grown < MEMORY,
    )


def _outage_rows() -> Iterator[Row]:
    for kind in OUTAGES:
        found = outage(kind)
        yield Row(
            f"1 h of outage ({kind}), keys cached",
            "none refused, none waits",
            f"{found.refusals} of {found.requests} refused, {found.waits} waited; "
            f"{found.attempts} attempts; median {_microseconds(median(found.during))}, "
            f"healthy {_microseconds(median(found.healthy))}",
            (found.refusals, found.waits) == (0, 0),
        )


def _rotation_rows() -> Iterator[Row]:
    refusals, requests = rotation_with_overlap()
    yield Row(
        "rotation, old key published for 30 s more",
        "none refused",
        f"{refusals} of {requests:,} refused",
        refusals == 0,
    )
    refusals, fetches = rotation_without_overlap()
    yield Row(
        "rotation without overlap, 100 concurrent requests",
        "none refused, 1 fetch",
        f"{refusals} refused, {fetches} fetch",
        (refusals, fetches) == (0, 1),
    )
    refusals, requests = rotation_ahead_of_use()
    yield Row(
        "rotation during a flood, new key published 30 s before it signs",
        "none refused",
        f"{refusals} of {requests:,} refused",
        refusals == 0,
    )

    seconds, outcomes = rotation_after_strangers()
    yield Row(
        "rotation without overlap, just after 3 tokens with made-up key ids",
        "503 for at most 30 s, never 401",
        f"{' and '.join(sorted(outcomes))} for {seconds} s",
        seconds <= FORCED_EVERY and outcomes == {"KeysUnavailableError"},
    )


def _detour_rows() -> Iterator[Row]:
    for kind, answer in ELSEWHERE.items():
        refusals = detour(answer)
        yield Row(
            f"discovery, the first well-known place answers with {kind}",
            "none refused",
            f"{refusals} of 100 refused",
            refusals == 0,
        )


def _withdrawal_rows() -> Iterator[Row]:
    longest = f"max-age={POLICY.max_ttl:.0f}"
    scenes: list[tuple[str, float, dict[str, Any]]] = [
        ("issuer healthy", POLICY.ttl, {}),
        ("issuer healthy, the longest `max-age`", POLICY.max_ttl, {"cache_control": longest}),
        *(
            (f"issuer healthy and without keys ({name})", POLICY.ttl, {"answer": answer})
            for name, answer in WITHDRAWN.items()
        ),
        ("issuer out of reach", POLICY.ttl + POLICY.stale_if_error, {"reachable": False}),
        (
            "issuer out of reach, the longest `max-age`",
            POLICY.max_ttl + POLICY.stale_if_error,
            {"reachable": False, "cache_control": longest},
        ),
    ]
    for name, bound, scene in scenes:
        found = withdrawal(**scene)
        yield Row(
            f"withdrawn key, {name}",
            f"accepted for at most {bound:,.0f} s",
            f"{found.seconds:,.0f} s, then {found.then}",
            found.seconds <= bound and found.then in {"UnknownKeyError", "KeysUnavailableError"},
        )


def _machine() -> str:
    packages = ("jwt-deps", "python-jose", "cryptography", "httpx2", "pydantic")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    return f"{machine}; {platform.python_implementation()} {platform.python_version()}; {versions}"


def main() -> int:
    """Run everything, print the table, and say by the exit status whether all bounds are kept."""
    logging.getLogger("jwt_deps").setLevel(logging.CRITICAL)  # outages are what this is about
    rows = [
        _cold_row(),
        *_detour_rows(),
        *_flood_rows(),
        *_outage_rows(),
        *_rotation_rows(),
        *_withdrawal_rows(),
    ]
    table = ["| Bound | Promised | Measured |", "|---|---|---|"]
    for row in rows:
        broken = "" if row.kept else " **broken**"
        table.append(f"| {row.bound} | {row.promised} | {row.measured}{broken} |")
    sys.stdout.write("\n".join([*table, "", _machine(), ""]))
    return int(not all(row.kept for row in rows))


if __name__ == "__main__":
    sys.exit(main())
