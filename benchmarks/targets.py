"""Compare the figures of a run with the targets.

Nothing here fails when a target is missed: machines differ, and so do days. The bounds come from
the peers, measured before the package was written. The bounds of DESIGN §7 are in `contract.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.contestants import NOOP, REFUSAL
from benchmarks.peers import AGENTOS, PEERS
from benchmarks.validators import MINIMAL
from benchmarks.verifying import OURS

__all__ = ["TARGETS", "Figures", "Target", "table"]

Figures: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Target:
    """A bound, and how the figure that it is for comes about."""

    what: str
    bound: float
    figure: Callable[[Figures], float]
    unit: str = ""
    least: bool = False
    #: What would come out if this package did nothing, or no more than a minimal validator.
    floor: Callable[[Figures], float] | None = None

    def met(self, figure: float) -> bool:
        """Whether it is within the bound."""
        return figure >= self.bound if self.least else figure <= self.bound


def _request(what: str, other: str) -> Callable[[Figures], float]:
    return _ratio(f"jwt-deps: {what}", other)


def _ratio(one: str, other: str) -> Callable[[Figures], float]:
    return lambda f: f[f"requests/ratio/{one}"] / f[f"requests/ratio/{other}"]


def _fastest_peer(algorithm: str) -> Callable[[Figures], float]:
    def figure(f: Figures) -> float:
        names = (f"{name} {algorithm}" for _, name, known, _ in PEERS if algorithm in known)
        added = (f.get(f"requests/added/{name}") for name in names)
        fastest = min((it for it in added if it is not None), default=None)
        if fastest is None:
            raise KeyError(algorithm)
        return f[f"requests/added/jwt-deps: new token {algorithm}"] / fastest

    return figure


def _verify(algorithm: str, other: str) -> Callable[[Figures], float]:
    return lambda f: f[f"verify/ratio/{OURS} {algorithm}"] / f[f"verify/ratio/{other} {algorithm}"]


def _one(name: str) -> Callable[[Figures], float]:
    return lambda f: f[name]


def _beside_peers() -> Iterator[Target]:
    for algorithm in ("HS256", "RS256"):
        yield Target(f"new token {algorithm}, added / fastest peer", 1.0, _fastest_peer(algorithm))


#: Algorithm, at most so many times the bare route, the middleware, joserfc by hand.
_NEW = (("HS256", 1.9, 0.3, 0.8), ("RS256", 2.5, 0.33, 0.85))
#: The same for a token seen before: the bare route, the middleware, oxyjwt by hand.
_SEEN = (("HS256", 1.35, 0.22, 0.92), ("RS256", 1.35, 0.22, 0.7))


def _beside_bare(what: str, bound: float, least: str) -> Target:
    name = f"{what} / bare"
    figure, floor = (_one(f"requests/ratio/{it}") for it in (f"jwt-deps: {what}", least))
    return Target(name, bound, figure, floor=floor)


def _beside(what: str, other: str, bound: float, least: str) -> Target:
    return Target(f"{what} / {other}", bound, _request(what, other), floor=_ratio(least, other))


def _requests() -> Iterator[Target]:
    for algorithm, bare, middleware, by_hand in _NEW:
        what = f"new token {algorithm}"
        least = f"{MINIMAL} {algorithm}"
        yield _beside_bare(what, bare, least)
        for other, bound in (
            (f"{AGENTOS} {algorithm}", middleware),
            (f"by hand: joserfc {algorithm}", by_hand),
        ):
            yield _beside(what, other, bound, least)
    for what, other, bound in (
        ("new token HS256", "fastapi-jwt, no aud/iss HS256", 0.75),
        ("new token RS256", "jwks-client RS256", 0.52),
    ):
        yield _beside(what, other, bound, f"{MINIMAL} {what.removeprefix('new token ')}")
    for algorithm, bare, middleware, by_hand in _SEEN:
        what = f"token seen before {algorithm}"
        yield _beside_bare(what, bare, NOOP)
        for other, bound in (
            (f"{AGENTOS} {algorithm}", middleware),
            (f"by hand: oxyjwt (Rust) {algorithm}", by_hand),
        ):
            yield _beside(what, other, bound, NOOP)
    for what, bound in (("no token HS256", 1.15), ("tampered signature HS256", 1.5)):
        yield _beside_bare(what, bound, REFUSAL)
    for algorithm in ("HS256", "RS256"):
        accepted = f"new token {algorithm}"
        yield Target(
            f"expired {algorithm} / {accepted}",
            1.0,
            _request(f"expired {algorithm}", f"jwt-deps: {accepted}"),
        )


_VERIFY: dict[str, dict[str, float]] = {
    "HS256": {MINIMAL: 1.1, "python-jose": 0.35, "joserfc": 0.5, "Authlib": 0.55, "PyJWT": 0.25},
    "RS256": {
        MINIMAL: 1.05,
        "python-jose": 0.45,
        "joserfc": 0.7,
        "Authlib": 0.8,
        "PyJWT": 0.42,
        "floor: signature only": 1.8,
    },
    "ES256": {MINIMAL: 1.08, "python-jose": 0.62, "joserfc": 0.85},
}


def _verifications() -> Iterator[Target]:
    for algorithm, bounds in _VERIFY.items():
        for other, bound in bounds.items():
            what = f"verify {algorithm} / {other}"
            if other == MINIMAL:
                yield Target(what, bound, _one(f"verify/ratio/{OURS} {algorithm}"))
            else:
                floor = _floor_of_verification(f"{other} {algorithm}")
                yield Target(what, bound, _verify(algorithm, other), floor=floor)


def _floor_of_verification(other: str) -> Callable[[Figures], float]:
    return lambda f: 1 / f[f"verify/ratio/{other}"]


def _loopback() -> Iterator[Target]:
    for what, rate, p99 in (
        ("token seen before HS256", 0.8, 1.2),
        ("token seen before RS256", 0.8, 1.2),
        ("new token HS256", 0.6, 1.7),
        ("new token RS256", 0.5, 1.7),
    ):
        for kind, name, bound in (("rate", "req/s", rate), ("p99", "p99", p99)):
            figure, floor = (_one(f"loopback/{kind}/{it}") for it in (f"jwt-deps: {what}", NOOP))
            least = kind == "rate"
            yield Target(f"{what}: {name} / bare's", bound, figure, least=least, floor=floor)


def _growth() -> Iterator[Target]:
    for algorithm in ("HS256", "RS256"):
        name = f"new {algorithm}"
        yield Target(f"{name}, per KiB of token", 6, _one(f"growth/size/{name}"), "µs")
    yield Target("RS256 with the most keys / with one", 1.05, _one("growth/keys/ratio"))
    yield Target("settings, per JWK", 65, _one("growth/keys/built"), "µs")
    yield Target("tokens remembered, at most", 2048, _one("growth/distinct/remembered"))
    for what in ("`current_user_id`, first route", "guard and user, first route"):
        figure = _one(f"growth/routes/{what}")
        yield Target(f"{what}: with the most routes more than with one", 3, figure, "µs")
    yield Target("exclusions, the match", 0.6, _one("growth/exclusions/match"), "µs")
    started, least = _one("growth/start/route"), _one("growth/start/floor")
    yield Target("start-up, per protected route", 50, started, "µs", floor=least)
    yield Target("OpenAPI, describing / generating", 0.5, _one("growth/openapi/ratio"))


TARGETS = (*_beside_peers(), *_requests(), *_verifications(), *_loopback(), *_growth())


def table(figures: Figures) -> tuple[list[str], int, int]:
    """The targets in Markdown, how many were measured, and how many of those are met."""
    lines = ["| Target | measured | bound | the floor's | |", "|---|---:|---:|---:|---|"]
    measured = met = 0
    for target in TARGETS:
        bound = f"{'at least' if target.least else 'at most'} {target.bound:g} {target.unit}"
        try:
            figure = target.figure(figures)
        except KeyError:
            lines.append(f"| {target.what} | - | {bound.rstrip()} | | not measured |")
            continue
        floor = None
        with suppress(KeyError):
            floor = target.floor and target.floor(figures)
        measured += 1
        met += target.met(figure)
        verdict = "met" if target.met(figure) else "**missed**"
        if floor and not (target.met(figure) or target.met(floor)):
            verdict += ", by the floor too"
        shown = f"{figure:,.0f}" if figure >= 100 else f"{figure:.2f}"  # noqa: PLR2004
        least = f"{floor:.2f}" if floor is not None else ""
        cells = (target.what, f"{shown} {target.unit}".rstrip(), bound.rstrip(), least, verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return lines, measured, met
