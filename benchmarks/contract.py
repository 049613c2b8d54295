"""The speed contract (DESIGN §7): every bound, measured in one run and printed as one table.

    python -m benchmarks.contract                          print the table
    python -m benchmarks.contract --rounds 20              a shorter run
    python -m benchmarks.contract --write docs/speed.md    write it into the page as well

Except for bytes, a figure is a ratio of 10th percentiles of processor time, to which other programs
on the machine add little. What is compared takes turns in one process, two slices of requests each
in every round. The exit status is 0 whether or not the bounds are met.
"""

import argparse
import logging
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, repeat
from pathlib import Path
from time import process_time
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, FastAPI, File, UploadFile
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Message, Receive, Scope

from benchmarks import imports, machine, tokens
from benchmarks.contestants import (
    BARE,
    NOOP,
    Contestant,
    NoOp,
    configured,
    no_op,
    serving,
    simple,
)
from benchmarks.driving import bars, bearer, flaws, requests_of, scope_of
from benchmarks.measuring import Effort, in_turn, tenth
from benchmarks.peers import AGENTOS, agent_os
from benchmarks.per_request import in_a_loop
from benchmarks.report import between
from benchmarks.validators import MINIMAL
from benchmarks.verifying import settings_for
from jwt_deps import (
    current_user_id,
    protect,
    protected_router,
    require_any_scope,
    require_claim,
    require_scopes,
)

__all__ = ["BEGIN", "END", "QUICK", "Row", "main", "markdown", "rows"]

BEGIN = "<!-- written by `python -m benchmarks.contract`: begin -->"
END = "<!-- written by `python -m benchmarks.contract`: end -->"
QUICK = Effort(rounds=1, slice_seconds=0.0002, quick=True)

_OURS = "jwt-deps"
_ALGORITHMS = ("HS256", "RS256")
#: The default of `token_cache_size`.
_CACHED = 2048
#: More than a slice has requests, the uncounted ones included: each request has a new token.
_NEW_TOKENS = 250
_ROUTES = 260
_UNAUTHORIZED = 401
_MICROSECONDS = 1e6

_UPLOAD = 100_000_000
_FILLER = b"x" * 65_536
_BOUNDARY = "benchmark"
_UPLOADS = {
    "multipart": (
        "/upload",
        f"multipart/form-data; boundary={_BOUNDARY}",
        (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        ).encode(),
        f"\r\n--{_BOUNDARY}--\r\n".encode(),
    ),
    "JSON": ("/json", "application/json", b'{"text": "', b'"}'),
}

_HEADER = 1_000_000
_HOSTILE = {
    "tabs and commas": b"\t, ",
    "commas": b",",
    "spaces": b" ",
    "`Bearer `": b"Bearer ",
    "`Basic x, `": b"Basic x, ",
    "dots": b".",
    "letters": b"A",
}


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        what: what is compared with what.
        bound: the most that the figure may be; `None` for a line without a bound.
        figure: what was measured; `None` if it could not be.
        detail: the two sides of a ratio, or why there is no figure.
        unit: of the figure; a ratio has none.
    """

    what: str
    bound: float | None
    figure: float | None
    detail: str
    unit: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `**not met**`, `not measured` or `no bound`."""
        if self.figure is None:
            return "not measured"
        if self.bound is None:
            return "no bound"
        return "met" if self.figure <= self.bound else "**not met**"

    def __str__(self) -> str:
        figure = "" if self.figure is None else self._shown(self.figure)
        bound = "" if self.bound is None else self._shown(self.bound)
        return f"| {self.what} | {figure} | {bound} | {self.verdict} | {self.detail} |"

    def _shown(self, number: float) -> str:
        return f"{number:,.0f} {self.unit}" if self.unit else f"{number:.2f}"


class _NotMeasuredError(Exception):
    """A comparison that would say nothing: one side is missing, or does not check tokens."""


def rows(effort: Effort) -> list[Row]:
    """Measure all rows of the contract."""
    return [
        *in_a_loop(_tokens_seen_before(effort)),
        *in_a_loop(_requirements(effort)),
        *in_a_loop(_new_tokens(effort)),
        *in_a_loop(_beside_agent_os(effort)),
        *in_a_loop(_uploads()),
        in_a_loop(_hostile_header(effort)),
        _import(effort),
    ]


def markdown(found: Sequence[Row]) -> str:
    """The table."""
    lines = ["| What | Figure | Bound | | Compared |", "|---|---:|---:|---|---|"]
    return "\n".join([*lines, *map(str, found)]) + "\n"


async def _tokens_seen_before(effort: Effort) -> list[Row]:
    """A token that the process has verified before."""
    found = [
        await _ratio(
            f"token seen before, {algorithm}: `current_user_id` / no-op dependency",
            1.15,
            _ours(algorithm, serving(current_user_id)),
            Contestant(NOOP, serving(no_op), tokens.good(algorithm)),
            effort,
        )
        for algorithm in _ALGORITHMS
    ]
    within = f"token seen before, HS256, {_ROUTES} routes"
    return [
        *found,
        await _ratio(
            f"{within}: `protected_router` / the same nesting of routers, no-op dependencies",
            1.15,
            _ours("HS256", _including(protected_router(_many_routes(current_user_id)))),
            Contestant(NOOP, _including(_nested(_many_routes(no_op))), tokens.good("HS256")),
            effort,
        ),
        await _ratio(
            f"{within}: `protect(app)` / application-wide no-op dependency",
            None,
            _ours("HS256", protect(_flat(current_user_id))),
            Contestant(NOOP, _flat(no_op, dependencies=[Depends(NoOp())]), tokens.good("HS256")),
            effort,
        ),
    ]


async def _requirements(effort: Effort) -> list[Row]:
    """What requirements add to a route that asks for the user, in no-op dependencies."""
    several = require_scopes("read"), require_any_scope("write", "x"), require_claim("tid")
    added: dict[str, tuple[float | None, Sequence[Callable[..., Any]]]] = {
        "three requirements": (1.3, several),
        "`require_scopes` with three scopes": (1.3, (require_scopes("read", "write", "admin"),)),
        "three no-op dependencies": (None, (NoOp(), NoOp(), NoOp())),
    }
    ours = [
        _ours("HS256", protect(serving(current_user_id, dependencies=list(map(Depends, it)))))
        for it in ([], *(dependencies for _, dependencies in added.values()))
    ]
    token = tokens.good("HS256")
    others = [Contestant(BARE, serving(), token), Contestant(NOOP, serving(no_op), token)]
    # Of short slices more are undisturbed, which a difference of differences needs.
    short = replace(effort, rounds=2 * effort.rounds, slice_seconds=effort.slice_seconds / 4)
    bare, no_ops, none, *found = await _seconds([*others, *ours], short, ())
    return [
        Row(
            f"token seen before, HS256: {what} more / one no-op dependency",
            bound,
            (one - none) / (no_ops - bare),
            _microseconds(one - none, no_ops - bare),
        )
        for (what, (bound, _)), one in zip(added.items(), found, strict=True)
    ]


async def _new_tokens(effort: Effort) -> list[Row]:
    """A token that the process has not seen: each request has another one."""
    minimal = {it.name: it for it in simple()}
    return [
        await _ratio(
            f"new token, {algorithm}: `current_user_id` / minimal validator",
            1.15,
            _ours(algorithm, serving(current_user_id)),
            minimal[f"{MINIMAL} {algorithm}"],
            effort,
            _new(algorithm),
        )
        for algorithm in _ALGORITHMS
    ]


async def _beside_agent_os(effort: Effort) -> list[Row]:
    """What a request takes longer than on a bare route, here and behind AgentOS's middleware."""
    found = []
    for algorithm in _ALGORITHMS:
        bare = Contestant(BARE, serving(), tokens.good(algorithm))
        ours, theirs = _ours(algorithm, serving(current_user_id)), agent_os(algorithm)
        for kind, bound, headers in (
            ("token seen before", 0.10, ()),
            ("new token", 0.25, _new(algorithm)),
        ):
            what = f"{kind}, {algorithm}: added to a bare route / added by {AGENTOS}"
            try:
                least, own, middleware = await _seconds([bare, ours, theirs], effort, headers)
            except _NotMeasuredError as error:
                found.append(Row(what, bound, None, str(error)))
                continue
            added = own - least, middleware - least
            found.append(Row(what, bound, added[0] / added[1], _microseconds(*added)))
    return found


async def _ratio(  # noqa: PLR0913, PLR0917 - what is compared, and how
    what: str,
    bound: float | None,
    ours: Contestant,
    other: Contestant,
    effort: Effort,
    headers: Sequence[bytes] = (),
) -> Row:
    try:
        one, two = await _seconds([ours, other], effort, headers)
    except _NotMeasuredError as error:
        return Row(what, bound, None, str(error))
    return Row(what, bound, one / two, _microseconds(one, two))


async def _seconds(
    contestants: Sequence[Contestant | tuple[str, str]], effort: Effort, headers: Sequence[bytes]
) -> list[float]:
    """The seconds of a request of each, measured in turn.

    Raises:
        _NotMeasuredError: one of them is missing, refuses the good token or accepts a bad one.
    """
    here = []
    for contestant in contestants:
        if not isinstance(contestant, Contestant):
            raise _NotMeasuredError(f"{contestant[0]}: {contestant[1]}")
        wrong = [flaw for flaw in await flaws(contestant) if bars(flaw)]
        if wrong:
            raise _NotMeasuredError(f"{contestant.name}: {', '.join(wrong)}")
        here.append(contestant)
    # All of them prepare for what this package needs: requests after that are slower for a while.
    prepare = next(it.prepare for it in here if it.name == _OURS)
    slices = {
        str(number): requests_of(replace(it, prepare=prepare), headers=headers, clock=process_time)
        for number, it in enumerate(here)
    }
    return [tenth(samples) for samples in (await in_turn(slices, effort)).values()]


def _microseconds(one: float, two: float) -> str:
    return f"{one * _MICROSECONDS:.1f} / {two * _MICROSECONDS:.1f} µs"


def _ours(algorithm: str, app: ASGIApp) -> Contestant:
    """An application of this package; each slice begins with new settings and an empty cache."""
    prepare = configured(algorithm, _CACHED)
    return Contestant(_OURS, app, tokens.good(algorithm), algorithm, prepare=prepare, secure=True)


@cache
def _new(algorithm: str) -> tuple[bytes, ...]:
    """The headers of tokens that differ in one claim."""
    signed = (
        tokens.signed(tokens.claims() | {"jti": str(number)}, algorithm)
        for number in range(_NEW_TOKENS)
    )
    return tuple(filter(None, map(bearer, signed)))


def _many_routes(dependency: Callable[..., Any]) -> APIRouter:
    """A router in whose middle is the route that is asked."""
    router = APIRouter()
    _add_routes(router, dependency)
    return router


def _flat(dependency: Callable[..., Any], **options: Any) -> FastAPI:
    """An application with the same routes, and no router in it."""
    app = FastAPI(**options)
    _add_routes(app.router, dependency)
    return app


def _add_routes(router: APIRouter, dependency: Callable[..., Any]) -> None:
    async def endpoint(user: Annotated[Any, Depends(dependency)]) -> dict[str, int]:  # noqa: ARG001
        return {"a": 1}

    for number in range(_ROUTES):
        path = "/x" if number == _ROUTES // 2 else f"/other{number}"
        router.add_api_route(path, endpoint, response_model=None)


def _nested(router: APIRouter) -> APIRouter:
    """What `protected_router` does, with a dependency that does nothing."""
    outer = APIRouter(dependencies=[Depends(NoOp())])
    outer.include_router(router)
    return outer


def _including(router: APIRouter) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    return app


async def _uploads() -> list[Row]:
    """How much of an upload is read before it is refused, without a token and with a bad one."""
    settings = settings_for("HS256", _CACHED)
    guarded = {
        "protect": protect(_including(_uploading()), settings),
        "protected_router": _including(protected_router(_uploading(), settings=settings)),
    }
    found = []
    for name, app in guarded.items():
        for kind in _UPLOADS:
            sent = (None, bearer(tokens.bad("HS256")["tampered signature"]))
            answers = [await _uploaded(app, kind, authorization) for authorization in sent]
            what = f"refused {kind} upload of 100 MB, `{name}`: read before the 401"
            if any(status != _UNAUTHORIZED for status, _ in answers):
                detail = f"answered {' and '.join(str(status) for status, _ in answers)}"
                found.append(Row(what, 0, None, detail, "bytes"))
                continue
            read = max(read for _, read in answers)
            found.append(Row(what, 0, read, "no token, tampered signature", "bytes"))
    return found


def _uploading() -> APIRouter:
    router = APIRouter()

    @router.post("/upload")
    async def upload(file: Annotated[UploadFile, File()]) -> int:
        return file.size or 0

    @router.post("/json")
    async def json(members: Annotated[dict[str, Any], Body()]) -> int:
        return len(members)

    return router


async def _uploaded(app: ASGIApp, kind: str, authorization: bytes | None) -> tuple[int, int]:
    """The status of the answer, and how many bytes were read before it."""
    path, content_type, first, last = _UPLOADS[kind]
    scope = scope_of(authorization, path)
    scope["method"] = "POST"
    size = len(first) + len(last) + _UPLOAD
    scope["headers"] += [
        (b"content-type", content_type.encode()),
        (b"content-length", str(size).encode()),
    ]
    count, rest = divmod(_UPLOAD, len(_FILLER))
    parts = chain([first], repeat(_FILLER, count), [_FILLER[:rest], last])
    read = 0

    async def receive() -> Message:
        nonlocal read
        part = next(parts, b"")
        read += len(part)
        return {"type": "http.request", "body": part, "more_body": read < size}

    status, read_before = await _status(app, scope, receive, lambda: read)
    return status, read_before


async def _status(
    app: ASGIApp, scope: Scope, receive: Receive, read: Callable[[], int]
) -> tuple[int, int]:
    """The status of an answer, and what `read` says when it begins."""
    found: list[tuple[int, int]] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.append((message["status"], read()))

    await app(scope, receive, send)
    return found[0]


async def _hostile_header(effort: Effort) -> Row:
    """One `Authorization` header of 1 MB; the ratio of the shape that is worst."""
    configured("HS256", _CACHED)()
    ours, other = serving(current_user_id), serving(HTTPBearer())
    what = (
        "one `Authorization` header of 1 MB: `current_user_id` / `HTTPBearer`, "
        f"the worst of {len(_HOSTILE)} shapes"
    )
    ratios: dict[str, tuple[float, str]] = {}
    fewer = replace(effort, rounds=effort.share(4))  # a megabyte is copied for each request
    for shape, piece in _HOSTILE.items():
        header = (piece * (_HEADER // len(piece) + 1))[:_HEADER]
        status, _ = await _status(ours, scope_of(header), _no_body, lambda: 0)
        if status != _UNAUTHORIZED:
            return Row(what, 1, None, f"{shape}: answered {status}")
        slices = {
            "ours": requests_of(Contestant("ours", ours), headers=[header], clock=process_time),
            "other": requests_of(Contestant("other", other), headers=[header], clock=process_time),
        }
        one, two = (tenth(it) for it in (await in_turn(slices, fewer)).values())
        ratios[shape] = one / two, _microseconds(one, two)
    worst = max(ratios, key=lambda shape: ratios[shape][0])
    ratio, compared = ratios[worst]
    return Row(what, 1, ratio, f"{worst}: {compared}")


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _children_time() -> float:
    """The processor time of all processes that this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _import(effort: Effort) -> Row:
    """The import, in new processes, without the time that an empty process takes."""
    statements = (imports.EMPTY, imports.BASE, imports.OURS)
    times = imports.seconds_in_turn(statements, effort.share(10), _children_time)
    empty, base, ours = (tenth(times[statement]) for statement in statements)
    one, two = ours - empty, base - empty
    detail = f"{one * 1e3:.0f} / {two * 1e3:.0f} ms"
    return Row(f"`{imports.OURS}` / `{imports.BASE}`", 1.25, one / two, detail)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contract", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=100, help="how many rounds (100)")
    parser.add_argument("--write", type=Path, help="the page to write into, between its two marks")
    options = parser.parse_args(arguments)
    page: Path | None = options.write
    if page:  # before anything is measured
        between(page.read_text(encoding="utf-8"), BEGIN, END, "", page)
    effort = Effort(rounds=options.rounds)
    about = machine.run(effort).markdown
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # uploads and hostile headers are refused
    try:
        text = f"{markdown(rows(effort))}\n{about}\n"
    finally:
        logging.disable(level)
    sys.stdout.write(text)
    if page:
        old = page.read_text(encoding="utf-8")
        page.write_text(between(old, BEGIN, END, text, page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
