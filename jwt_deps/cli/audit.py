"""`jwt-deps audit`: list the routes of an application and whether each needs a token."""

import asyncio
import importlib
import sys
import traceback
from contextlib import AsyncExitStack, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from fastapi import FastAPI
from rich.table import Table
from rich.text import Text

from jwt_deps.audit import (
    Audit,
    AuditedRoute,
    Verdict,
    as_json,
    as_markdown,
    compare,
    from_json,
    probe,
)
from jwt_deps.audit import audit as audit_app

from .output import ACCEPTED, REFUSED, console, impossible, printable, without_refusals

_LONGEST_SETTINGS = 30  # characters in the table; most routes have the same
_STYLES = {Verdict.GUARDED: "green", Verdict.PUBLIC: "yellow", Verdict.UNGUARDED: "bold red"}


class Format(StrEnum):
    """The output format."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def audit(  # noqa: PLR0913 - one per option
    *,
    target: Annotated[
        str,
        typer.Argument(metavar="MODULE:APP", help="The application, as for uvicorn: main:app."),
    ],
    format_: Annotated[Format, typer.Option("--format", help="The output format.")] = Format.TABLE,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="An earlier audit (--format json): fail only on changes since then.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Path pattern of routes that may be unguarded; repeatable.",
        ),
    ] = None,
    ask: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Also send every guarded route a request without a token, which must be refused. "
            "If a route only looks guarded, its endpoint runs.",
        ),
    ] = False,
    value: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="With --probe: a value for the path parameter NAME; repeatable.",
        ),
    ] = None,
    lifespan: Annotated[
        bool,
        typer.Option(
            "--lifespan", help="Run the lifespan of the application, for routes that it adds."
        ),
    ] = False,
    factory: Annotated[
        bool, typer.Option("--factory", help="APP is a function that returns the application.")
    ] = False,
    app_dir: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder of MODULE.")] = Path(),
) -> None:
    """List every route and whether it needs a token; fail if one is unguarded.

    A route is guarded, public (@public, an exclusion, a page that FastAPI adds) or unguarded.
    Problems are: an exclusion that matches no route, anything that makes the application refuse
    to serve, and an OpenAPI document that differs from what the routes require. The application
    is not changed.

    Exit codes:
      0   every route is guarded or public; with --against: nothing changed
      1   there are unguarded routes or problems; with --against: something changed
      2   the application or the earlier audit cannot be read

    Examples:
      jwt-deps audit main:app
      jwt-deps audit main:app --probe
      jwt-deps audit main:app --probe --value tenant=acme
      jwt-deps audit main:app --format markdown >> "$GITHUB_STEP_SUMMARY"
      jwt-deps audit main:app --format json > audit.json
      jwt-deps audit main:app --against audit.json
      jwt-deps audit main:make_app --factory --allow '/static/*'
    """
    before = None if against is None else _earlier(against)
    values = dict(map(_name_and_value, value or []))
    # What the application prints on import must not get into the document.
    with redirect_stdout(sys.stderr):
        app = _load(target, app_dir, factory=factory)
        audited = _audited(app, allow or [], values if ask else None, lifespan=lifespan)
        with without_refusals():
            found = asyncio.run(audited)
    if before is None:
        _show(found, format_)
        raise typer.Exit(ACCEPTED if found.ok else REFUSED)
    changes = compare(before, found)
    for change in changes or ["Nothing changed."]:
        typer.echo(change)
    raise typer.Exit(REFUSED if changes else ACCEPTED)


def _earlier(path: Path) -> Audit:
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise impossible(f"{path} cannot be read: {error}. Write it with --format json.") from None


def _name_and_value(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not (name and equals):
        raise impossible(f"{option!r} is not of the form NAME=VALUE, tenant=acme for example.")
    return name, value


def _load(target: str, folder: Path, *, factory: bool) -> FastAPI:
    module, colon, attributes = target.partition(":")
    if not (module and colon and attributes):
        raise impossible(f"{target!r} is not of the form MODULE:APP, main:app for example.")
    sys.path.insert(0, str(folder.resolve()))
    try:
        app: Any = importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - the application's own code
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent is None or not f"{module}.".startswith(f"{absent}."):
            raise _own_error(target, error) from None
        raise impossible(f"There is no module {module!r} in {folder.resolve()}.") from None
    for attribute in attributes.split("."):
        try:
            app = getattr(app, attribute)
        except AttributeError:
            raise impossible(f"The module {module!r} has no {attributes!r}.") from None
    try:
        app = app() if factory else app
    except Exception as error:  # noqa: BLE001 - the application's own code
        raise _own_error(target, error) from None
    if not isinstance(app, FastAPI):
        hint = " If it is a function that returns one, add --factory." if callable(app) else ""
        raise impossible(f"{target!r} is not a FastAPI application.{hint}")
    return app


def _own_error(target: str, error: Exception) -> typer.Exit:
    traceback.print_exception(error)
    return impossible(f"{target!r} cannot be loaded: its own error is above.")


async def _audited(
    app: FastAPI, allow: list[str], values: dict[str, str] | None, *, lifespan: bool
) -> Audit:
    async with AsyncExitStack() as stack:
        if lifespan:
            await stack.enter_async_context(app.router.lifespan_context(app))
        found = audit_app(app, allow=allow)
        return found if values is None else await probe(app, found, values=values)


def _show(found: Audit, format_: Format) -> None:
    if format_ is Format.JSON:
        typer.echo(as_json(found), nl=False)
    elif format_ is Format.MARKDOWN:
        typer.echo(as_markdown(found), nl=False)
    else:
        _show_table(found)


def _show_table(found: Audit) -> None:
    screen = console()
    table = Table(box=None, pad_edge=False)
    asked = any(route.answer is not None for route in found.routes)
    for column in ("Route", "Verdict", "Why", "Scopes", "Settings", *(["Answer"] if asked else [])):
        table.add_column(column, overflow="fold")
    settings = dict.fromkeys(route.settings for route in found.routes)
    long = [text for text in settings if len(text) > _LONGEST_SETTINGS]
    marks = {text: f"[{at}]" for at, text in enumerate(long, 1)}
    for route in found.routes:
        mark = marks.get(route.settings, route.settings)
        table.add_row(*_cells(route, mark), *([Text(route.answer or "")] if asked else []))
    screen.print(table)
    screen.print()
    for text, mark in marks.items():
        screen.print(Text(f"{mark} {text}"), soft_wrap=True)
    for problem in found.problems:
        screen.print(Text(f"Problem: {problem}", "bold red"), soft_wrap=True)
    for note in found.notes:
        screen.print(Text(f"Note: {note}", "yellow"), soft_wrap=True)
    count = len(found.unguarded)
    summary = f"{len(found.routes)} routes, {count} unguarded, {len(found.problems)} problems"
    screen.print(Text(summary, "green" if found.ok else "bold red"))


def _cells(route: AuditedRoute, settings: str) -> list[Text]:
    return [
        Text(printable(f"{' '.join(route.methods)} {route.path}")),
        Text(route.verdict.value, _STYLES[route.verdict]),
        Text(route.why),
        Text(" ".join((*route.scopes, *route.requires))),
        Text(settings),
    ]
