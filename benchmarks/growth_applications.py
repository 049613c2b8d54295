"""The cost of a request and of the start by the number of routes and exclusions."""

import asyncio
import gc
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from benchmarks import tokens
from benchmarks.contestants import Contestant, configured, no_op
from benchmarks.driving import requests_of, status_of
from benchmarks.measuring import Effort, Findings, Measured, fastest_of, take_turns
from benchmarks.per_request import in_a_loop
from benchmarks.verifying import settings_for
from jwt_deps import JWTSettings, current_user_id, protect, protected_router
from jwt_deps.web.openapi import describe

__all__ = ["exclusions", "openapi", "routes", "start_up"]

_ROUTES = (1, 10, 100, 1000)
_EXCLUSIONS = (1, 10, 100, 1000)
_BESIDE = """\
Beside the same application without them. To the last of many routes FastAPI itself takes so long
that the difference has an error of some per cent of that."""


def routes(effort: Effort) -> Findings:
    """What the dependencies add on the first and the last of so many routes."""
    counts = _ROUTES[:2] if effort.quick else _ROUTES
    rows = [
        ("`current_user_id`, first route", 0, ""),
        ("`current_user_id`, last route", -1, ""),
        ("guard and user, first route", 0, "protected_router"),
        ("`protect` and user, first route", 0, "protect"),
    ]
    figures: dict[str, float] = {}
    lines = [
        f"| µs added by | {' | '.join(f'{count:,} routes' for count in counts)} |",
        "|---" + "|---:" * len(counts) + "|",
    ]
    for what, at, guard in rows:
        found = [_beside_unprotected(count, at % count, effort, guard) for count in counts]
        cells = " | ".join(f"{it.added:.1f}" for it in found)
        lines.append(f"| {what} | {cells} |")
        figures[f"routes/{what}"] = found[-1].added - found[0].added
    lines += [
        "",
        _BESIDE,
    ]
    return Findings("Number of routes, a token seen before", figures, "\n".join(lines))


def _beside_unprotected(count: int, at: int, effort: Effort, guard: str) -> Measured:
    token, path = tokens.good("HS256"), f"/x{at}"
    prepare = configured("HS256", 2048)
    if guard == "protected_router":
        plain = _included(_nested(_router(count, None)))
        own = _included(protected_router(_router(count, current_user_id)))
    else:
        plain, own = FastAPI(), FastAPI()
        _add(plain.router, count, None)
        _add(own.router, count, current_user_id)
        if guard:
            protect(own)
    base = requests_of(Contestant("plain", plain, token), path)
    slices = {"ours": requests_of(Contestant("ours", own, token, prepare=prepare), path)}
    return in_a_loop(take_turns(base, slices, effort))["ours"]


def exclusions(effort: Effort) -> Findings:
    """What excluded patterns cost a request whose route none of them means."""
    counts = _EXCLUSIONS[:2] if effort.quick else _EXCLUSIONS
    matching: dict[str, float] = {}
    measured: dict[str, Measured] = {}
    token = tokens.good("HS256")
    for count in counts:
        # Each pattern means a route, because one that means none is refused at the start.
        settings = _with([f"/open/{number}" for number in range(count)])
        matching[f"{count:,}"] = (
            fastest_of(partial(settings.server.excluded.match, "/x0"), effort) * 1e6
        )
        base = requests_of(Contestant("none", _excluding(_with([]), count), token), "/x0")
        ours = requests_of(Contestant("ours", _excluding(settings, count), token), "/x0")
        measured[f"{count:,}"] = in_a_loop(take_turns(base, {"ours": ours}, effort))["ours"]
    lines = [
        f"| Patterns | {' | '.join(measured)} |",
        "|---" + "|---:" * len(measured) + "|",
        f"| µs more per request | {' | '.join(f'{it.added:.1f}' for it in measured.values())} |",
        f"| the match alone, µs | {' | '.join(f'{one:.2f}' for one in matching.values())} |",
    ]
    last = f"{counts[-1]:,}"
    figures = {"exclusions/match": matching[last], "exclusions/request": measured[last].added}
    return Findings("Excluded patterns", figures, "\n".join(lines))


def start_up(effort: Effort) -> Findings:
    """What a protected router takes longer to start, up to its first answer."""
    count = 10 if effort.quick else _ROUTES[-1]
    kinds: dict[str, Callable[[APIRouter], APIRouter]] = {
        "`APIRouter`": _nested,
        "`APIRouter` with a dependency that does nothing": partial(_nested, dependency=no_op),
        "`protected_router`": partial(protected_router, settings=settings_for("HS256", 2048)),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(effort.share(10)):
        for name, around in kinds.items():
            gc.collect()
            times[name].append(_seconds_to_first_answer(count, around))
    plain, least, ours = (median(found) for found in times.values())
    per_route, floor = ((it - plain) / count * 1e6 for it in (ours, least))
    lines = [
        f"| A router of {count:,} routes, built and asked once | ms |",
        "|---|---:|",
        *(f"| {name} | {median(found) * 1e3:.0f} |" for name, found in times.items()),
        "",
        (
            f"That is {per_route:.0f} µs more per protected route, and {floor:.0f} µs with a "
            "dependency that does nothing."
        ),
    ]
    figures = {"start/route": per_route, "start/floor": floor}
    return Findings("Start-up", figures, "\n".join(lines))


def openapi(effort: Effort) -> Findings:
    """What describing the security of many routes takes, beside generating their document."""
    count = 10 if effort.quick else _ROUTES[-1]
    app = _included(protected_router(_router(count, None), settings=_with([])))
    get_openapi(title="x", version="1", routes=app.routes)  # which reads the routes
    generating, describing = [], []
    for _ in range(3 if effort.quick else 10):
        begun = time.process_time()
        document = get_openapi(title="x", version="1", routes=app.routes)
        generated = time.process_time()
        describe(app, document)
        generating.append(generated - begun)
        describing.append(time.process_time() - generated)
    ratio = min(describing) / min(generating)
    line = f"{count:,} routes: describing takes {ratio:.2f} of what FastAPI's generating takes."
    return Findings("OpenAPI document", {"openapi/ratio": ratio}, line)


def _seconds_to_first_answer(count: int, around: Callable[[APIRouter], APIRouter]) -> float:
    token = tokens.good("HS256")
    begun = time.perf_counter()
    app = _included(around(_router(count, None)))
    asyncio.run(status_of(Contestant("one", app, token), token, "/x0"))
    return time.perf_counter() - begun


def _with(excluded: list[str]) -> JWTSettings:
    return JWTSettings(
        secret_key=tokens.SECRET,
        audience=tokens.AUDIENCE,
        issuer=tokens.ISSUER,
        excluded_route_paths=excluded,
    )


def _router(count: int, dependency: Any) -> APIRouter:
    router = APIRouter()
    _add(router, count, dependency)
    return router


def _excluding(settings: JWTSettings, count: int) -> FastAPI:
    """An application with a protected route, and so many more that could be excluded."""
    router = _router(1, current_user_id)
    _add(router, count, None, "/open/")
    return _included(protected_router(router, settings=settings))


def _nested(router: APIRouter, dependency: Any = None) -> APIRouter:
    """A router that contains it, as a protected one does."""
    outer = APIRouter(dependencies=[Depends(dependency)] if dependency else None)
    outer.include_router(router)
    return outer


def _included(router: APIRouter) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    return app


def _add(router: APIRouter, count: int, dependency: Any, prefix: str = "/x") -> None:
    async def plain() -> dict[str, int]:
        return {"a": 1}

    async def guarded(user: Annotated[Any, Depends(dependency)]) -> dict[str, int]:  # noqa: ARG001
        return {"a": 1}

    for number in range(count):
        endpoint = plain if dependency is None else guarded
        router.add_api_route(f"{prefix}{number}", endpoint, response_model=None)
