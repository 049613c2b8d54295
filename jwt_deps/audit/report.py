"""The audit of an application: its routes with their verdicts, and what is wrong besides."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import PathPatterns
from jwt_deps.web import (
    ANY_METADATA,
    Installation,
    Inventory,
    Reached,
    Served,
    get_claims,
    idle_exclusions,
    refusals,
    settings_problem,
    unchanged,
)

from .verdicts import Judgement, Verdict, asks_by_itself, judge, judge_itself

__all__ = ["Audit", "AuditedRoute", "audit"]


@dataclass(frozen=True, slots=True)
class AuditedRoute:
    """A route and its verdict.

    Attributes:
        path: its whole template.
        methods: HTTP methods; `WEBSOCKET`; `*` for whatever an application below a mount takes.
        endpoint: the callable behind it, by module and name.
        verdict: whether it needs a token.
        why: what makes it so.
        settings: in short, under which settings a token is checked; empty for none.
        scopes: the scopes needed, `a|b` where any of them will do.
        requires: what else is needed, `acr=phr|phrh` for instance.
        answer: what it answered when it was asked without a token; `None` if it was not asked.
    """

    path: str
    methods: tuple[str, ...]
    endpoint: str
    verdict: Verdict
    why: str
    settings: str = ""
    scopes: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        routes: every route, in the order in which requests try them.
        problems: what is wrong beside unguarded routes, each as a sentence.
        notes: what may be meant so, and fails no audit, likewise.
    """

    routes: tuple[AuditedRoute, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def unguarded(self) -> tuple[AuditedRoute, ...]:
        """The routes that are neither guarded nor public on purpose."""
        return tuple(route for route in self.routes if route.verdict is Verdict.UNGUARDED)

    @property
    def ok(self) -> bool:
        """Whether no route is unguarded and nothing else is wrong."""
        return not self.unguarded and not self.problems

    def __str__(self) -> str:
        """What is wrong, a line each: the message of a failing test."""
        unguarded = (
            f"{' '.join(route.methods)} {route.path} is unguarded: {route.why}"
            for route in self.unguarded
        )
        return "\n".join((*unguarded, *self.problems)) or "every route is accounted for"


def audit(app: FastAPI, *, allow: Iterable[str] = ()) -> Audit:
    """Say of every route that an application serves whether it needs a token, and why.

    It looks at the application as it is now, and changes nothing about it: routes that a lifespan
    adds are there once it runs.

    Args:
        app: the application.
        allow: path patterns (`*` is any text) of routes that may be open although nothing in the
            code says so, a mount of static files for instance.
    """
    inventory = Inventory.of(app)
    allowed = PathPatterns(allow)
    with unchanged(inventory.routers):
        judged = [(served, judge(served, allowed)) for served in inventory.routes]
        problems = [
            *(problem for one in inventory.applications for problem in _problems(one)),
            *(
                f"The allowed path {pattern!r} matches no route."
                for pattern in allowed.unmatched(served.path for served in inventory.routes)
            ),
            *(
                problem
                for one in inventory.applications
                for problem in _disagreements(one.app, inventory.routes)
            ),
        ]
        notes = tuple(dict.fromkeys(_notes(inventory)))
    routes = tuple(_audited(served, judgement) for served, judgement in judged)
    return Audit(routes, tuple(dict.fromkeys(problems)), notes)


def _audited(served: Served, judgement: Judgement) -> AuditedRoute:
    return AuditedRoute(
        served.path,
        served.methods,
        _name(served.match.endpoint),
        judgement.verdict,
        judgement.why,
        judgement.settings,
        judgement.scopes,
        judgement.requires,
    )


def _name(endpoint: Any) -> str:
    if endpoint is None:
        return ""
    named = endpoint if hasattr(endpoint, "__qualname__") else type(endpoint)
    return f"{named.__module__}.{named.__qualname__}"


def _problems(reached: Reached) -> Iterator[str]:
    app = reached.app
    yield from refusals(reached)
    try:
        yield from idle_exclusions(app)
    except ConfigurationError as error:
        yield f"There are no settings to judge by: {error}"
    unknown = settings_problem(app)
    if unknown is not None:
        yield unknown
    if get_claims in app.dependency_overrides:
        yield "dependency_overrides replaces get_claims: no token is checked."


def _notes(inventory: Inventory) -> Iterator[str]:
    """Where challenges name a metadata document (RFC 9728 §5.1) that no route serves."""
    paths = {served.path for served in inventory.routes}
    for served in inventory.routes:
        asking = (one for one in (served, *reversed(served.mounts)))
        first = next((one for one in asking if any(one.asked(is_public=False))), None)
        settings = None if first is None else first.settings
        if settings is None or settings.resource is None:
            continue
        if paths.isdisjoint((settings.metadata_path, ANY_METADATA)):
            yield (
                f"Challenges name {settings.metadata_path}, and no route here serves it: call "
                "mount_resource_metadata(app), unless something else answers there."
            )


def _disagreements(app: FastAPI, routes: list[Served]) -> Iterator[str]:
    """Where an OpenAPI document says something else than what its application would do."""
    if app.openapi_url is None:
        return
    schema = _schema(app)
    for served in routes:
        if served.app is not app or served.schema_path is None:
            continue
        item = schema.get("paths", {}).get(served.schema_path, {})
        for method in served.methods:
            operation = item.get(method.lower())
            if operation is not None:
                yield from _disagreement(
                    f"OpenAPI says of {method} {served.path}",
                    operation.get("security", schema.get("security", [])),
                    judge_itself(served),
                    own_lock=asks_by_itself(served),
                )


def _schema(app: FastAPI) -> dict[str, Any]:
    """The document as requests get it once the application serves; nothing of it is kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are about names, and come again
        return Installation.document_of(app)


def _disagreement(
    of: str, security: list[dict[str, list[str]]], judgement: Judgement, *, own_lock: bool
) -> Iterator[str]:
    locked = bool(security) and all(security)
    if judgement.verdict is Verdict.GUARDED and not locked:
        yield f"{of} that it needs no token, and it does."
    elif judgement.verdict is Verdict.PUBLIC and locked and not own_lock:
        yield f"{of} that it needs a token, and it does not."
    elif judgement.verdict is Verdict.GUARDED:
        told = {
            scope for requirement in security for named in requirement.values() for scope in named
        }
        needed = {one for scope in judgement.scopes for one in scope.split("|")}
        if not needed <= told:
            yield f"{of} other scopes than those that it needs."
