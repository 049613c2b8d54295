"""`jwt-deps audit`: a verdict for every route, and an exit code for a build."""

import json
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jwt_deps.cli.app import main
from tests.minting import SECRET

from .processes import run

ROOT = Path(__file__).parent.parent.parent
GOOD = """
    from fastapi import APIRouter, FastAPI
    from jwt_deps import JWTSettings, protected_router, public

    router = APIRouter()

    @router.get("/kept")
    async def kept() -> None: ...

    @router.get("/open")
    @public
    async def open_() -> None: ...

    settings = JWTSettings(secret_key="a secret of at least thirty-two bytes", _env_prefix="X_")
    app = FastAPI(openapi_url=None)
    app.include_router(protected_router(router, settings=settings))
"""
HOLE = """
    @app.get("/forgotten")
    async def forgotten() -> None: ...
"""


def written(folder: Path, *parts: str, name: str = "service") -> str:
    """A module with an application."""
    source = "".join(textwrap.dedent(part) for part in parts)
    (folder / f"{name}.py").write_text(source)
    return f"{name}:app"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Modules and paths that are imported here are forgotten again."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    return monkeypatch


def audit(*arguments: str, **variables: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["audit", *arguments], env={"COLUMNS": "120", **variables})


def folder_of(path: Path) -> list[str]:
    return ["--app-dir", str(path)]


@pytest.mark.usefixtures("modules")
class TestInThisProcess:
    def test_all_is_well(self, tmp_path: Path) -> None:
        """The table, a summary, and 0."""
        result = audit(written(tmp_path, GOOD), *folder_of(tmp_path))

        assert (0, "") == (result.exit_code, result.stderr)
        assert [
            "Route      Verdict  Why        Scopes  Settings",
            "GET /kept  guarded  its guard          own: HS256",
            "GET /open  public   @public",
            "",
            "2 routes, 0 unguarded, 0 problems",
        ] == [line.rstrip() for line in result.stdout.splitlines()]

    def test_a_hole_fails(self, tmp_path: Path) -> None:
        """With 1."""
        result = audit(written(tmp_path, GOOD, HOLE), *folder_of(tmp_path))

        assert 1 == result.exit_code
        assert "GET /forgotten  unguarded  no guard applies to it" in result.stdout
        assert "3 routes, 1 unguarded, 0 problems" in result.stdout

    def test_a_hole_can_be_allowed(self, tmp_path: Path) -> None:
        """By its path."""
        app = written(tmp_path, GOOD, HOLE)

        result = audit(app, *folder_of(tmp_path), "--allow", "/forgot*")

        assert 0 == result.exit_code

    def test_a_problem_fails(self, tmp_path: Path) -> None:
        """It is printed as a sentence."""
        source = GOOD.replace("settings=settings", "settings=settings, exclude='/nothing'")

        result = audit(written(tmp_path, source), *folder_of(tmp_path))

        assert 1 == result.exit_code
        assert "Problem: The exclusion '/nothing' matches no route" in result.stdout

    def test_a_note_fails_nothing(self, tmp_path: Path) -> None:
        """It is printed as a sentence too."""
        resource = "resource='https://api.example.com', _env_prefix="
        source = GOOD.replace("_env_prefix=", resource)

        result = audit(written(tmp_path, source), *folder_of(tmp_path))

        assert 0 == result.exit_code
        assert "Note: Challenges name /.well-known/oauth-protected-resource" in result.stdout

    def test_the_application_is_asked(self, tmp_path: Path) -> None:
        """Its answers get a column."""
        result = audit(written(tmp_path, GOOD), *folder_of(tmp_path), "--probe")

        assert 0 == result.exit_code
        assert "GET /kept  guarded  its guard          own: HS256  401" in result.stdout

    def test_long_settings_are_printed_once(self, tmp_path: Path) -> None:
        """Below the table, which refers to them."""
        source = GOOD.replace(
            "_env_prefix=", "cookie_name='token', token_source='both', _env_prefix="
        )

        result = audit(written(tmp_path, source), *folder_of(tmp_path))

        assert [
            "Route      Verdict  Why        Scopes  Settings",
            "GET /kept  guarded  its guard          [1]",
            "GET /open  public   @public",
            "",
            "[1] own: HS256 token_source=both cookie_name=token",
            "2 routes, 0 unguarded, 0 problems",
        ] == [line.rstrip() for line in result.stdout.splitlines()]

    def test_values_for_path_parameters(self, tmp_path: Path) -> None:
        """A middleware knows its tenants, and only requests to one of them come to the guard."""
        dispatch = """
from starlette.responses import PlainTextResponse
from fastapi import APIRouter
from jwt_deps import protected_router

tenants = APIRouter()
tenants.add_api_route("/{tenant}/x", lambda: None)
app.include_router(protected_router(tenants, settings=settings))

@app.middleware("http")
async def dispatch(request, go_on):
    if "/acme/" in request.url.path or request.url.path == "/kept":
        return await go_on(request)
    return PlainTextResponse("", 404)
"""
        app = written(tmp_path, GOOD, dispatch)

        without = audit(app, *folder_of(tmp_path), "--probe")
        result = audit(app, *folder_of(tmp_path), "--probe", "--value", "tenant=acme")

        assert "GET /{tenant}/x answered 404 at /1/x, before a guard ran" in without.stdout
        assert (1, 0) == (without.exit_code, result.exit_code)

    @pytest.mark.parametrize("value", ["tenant", "=acme"])
    def test_a_value_without_a_name(self, tmp_path: Path, value: str) -> None:
        """It is said how one is written."""
        result = audit(written(tmp_path, GOOD), *folder_of(tmp_path), "--value", value)

        assert 2 == result.exit_code
        assert f"{value!r} is not of the form NAME=VALUE, tenant=acme for example" in result.stderr

    def test_a_factory(self, tmp_path: Path) -> None:
        """The function is called."""
        factory = "\n    def make():\n        return app\n"
        written(tmp_path, GOOD, factory)

        result = audit("service:make", *folder_of(tmp_path), "--factory")

        assert 0 == result.exit_code

    def test_an_attribute_of_an_attribute(self, tmp_path: Path) -> None:
        """As uvicorn takes it."""
        written(tmp_path, GOOD, "\n    class Holder:\n        inner = app\n")

        assert 0 == audit("service:Holder.inner", *folder_of(tmp_path)).exit_code

    def test_routes_of_a_lifespan(self, tmp_path: Path) -> None:
        """They are there while it runs, and it is ended."""
        lifespan = """
            from contextlib import asynccontextmanager

            @asynccontextmanager
            async def lifespan(app):
                app.add_api_route("/added", kept)
                yield
                print("ended")

            app.router.lifespan_context = lifespan
        """
        app = written(tmp_path, GOOD, lifespan)

        assert 0 == audit(app, *folder_of(tmp_path)).exit_code
        result = audit(app, *folder_of(tmp_path), "--lifespan")

        assert (1, "ended\n") == (result.exit_code, result.stderr)
        assert "GET /added" in result.stdout

    def test_a_document_is_alone_on_standard_output(self, tmp_path: Path) -> None:
        """Whatever the application prints while it is made."""
        app = written(tmp_path, "print('hello')", GOOD)

        result = audit(app, *folder_of(tmp_path), "--format", "json")

        assert (True, "hello\n") == (json.loads(result.stdout)["ok"], result.stderr)

    def test_markdown(self, tmp_path: Path) -> None:
        """For a pull request."""
        result = audit(written(tmp_path, GOOD), *folder_of(tmp_path), "--format", "markdown")

        assert "| GET /kept | guarded | its guard |  | own: HS256 |" in result.stdout

    def test_an_earlier_audit_is_a_lock_file(self, tmp_path: Path) -> None:
        """What was known passes, what changed fails."""
        lock = tmp_path / "audit.json"
        before = written(tmp_path, GOOD, HOLE, name="before")
        lock.write_text(audit(before, *folder_of(tmp_path), "--format", "json").stdout)
        after = written(tmp_path, GOOD, HOLE, HOLE.replace("forgotten", "more"), name="after")

        same = audit(before, *folder_of(tmp_path), "--against", str(lock))
        more = audit(after, *folder_of(tmp_path), "--against", str(lock))

        assert (0, "Nothing changed.\n") == (same.exit_code, same.stdout)
        assert (1, "+ GET /more: unguarded, no guard applies to it\n") == (
            more.exit_code,
            more.stdout,
        )

    @pytest.mark.parametrize(
        ("target", "sentence"),
        [
            pytest.param("service", "is not of the form MODULE:APP", id="no-colon"),
            pytest.param(":app", "is not of the form MODULE:APP", id="no-module"),
            pytest.param("nowhere:app", "There is no module 'nowhere' in", id="no-such-module"),
            pytest.param("service:nothing", "has no 'nothing'", id="no-such-attribute"),
            pytest.param("service:router", "is not a FastAPI application.", id="a-router"),
            pytest.param("service:kept", "add --factory.", id="a-function"),
        ],
    )
    def test_what_cannot_be_loaded(self, tmp_path: Path, target: str, sentence: str) -> None:
        """A sentence and 2."""
        written(tmp_path, GOOD)

        result = audit(target, *folder_of(tmp_path))

        assert (2, "") == (result.exit_code, result.stdout)
        assert sentence in result.stderr

    @pytest.mark.parametrize(
        ("source", "own"),
        [
            pytest.param("import nowhere_at_all", "No module named 'nowhere_at_all'", id="import"),
            pytest.param("def app(): return 1 / 0", "ZeroDivisionError", id="factory"),
        ],
    )
    def test_what_fails_while_it_is_loaded(self, tmp_path: Path, source: str, own: str) -> None:
        """Its own error, then a sentence and 2: a build can tell it from an unguarded route."""
        result = audit(written(tmp_path, f"{source}\n"), *folder_of(tmp_path), "--factory")

        assert (2, "") == (result.exit_code, result.stdout)
        assert own in result.stderr
        assert result.stderr.endswith("'service:app' cannot be loaded: its own error is above.\n")

    @pytest.mark.parametrize("text", ["{}", "[" * 100_000], ids=["other-json", "deep"])
    def test_what_is_no_audit(self, tmp_path: Path, text: str) -> None:
        """Is not compared with."""
        lock = tmp_path / "audit.json"
        lock.write_text(text)

        result = audit(written(tmp_path, GOOD), *folder_of(tmp_path), "--against", str(lock))

        assert 2 == result.exit_code
        assert "Write it with --format json." in result.stderr


@pytest.mark.usefixtures("modules")
def test_every_hole_is_found() -> None:
    """In an application with every kind."""
    arguments = ("tests.audit.holes:app", *folder_of(ROOT), "--format", "json")

    result = audit(*arguments, JWT_SECRET_KEY=SECRET)

    routes = json.loads(result.stdout)["routes"]
    found = sum(route["verdict"] == "unguarded" for route in routes)
    assert (1, 14) == (result.exit_code, found)


@pytest.mark.parametrize("example", ["app", "base_app"])
def test_agentos_has_none(example: str) -> None:
    """And of one of them every guarded route refuses a request without a token."""
    target, asked = f"examples.agentos.{example}:app", ["--probe"] if example == "app" else []

    result = audit(target, *folder_of(ROOT), *asked, JWT_SECRET_KEY=SECRET)

    said = result.stdout.splitlines()[-1].partition(",")[2]
    assert (0, " 0 unguarded, 0 problems") == (result.exit_code, said)


def test_a_broken_application_says_what_is_wrong(tmp_path: Path) -> None:
    """In a process of its own: its own traceback, without the lines around the one that failed."""
    app = written(tmp_path, "secret = 'hidden'\nraise ZeroDivisionError\n")

    result = run("audit", app, "--app-dir", str(tmp_path))

    assert 2 == result.returncode
    assert "ZeroDivisionError" in result.stderr
    assert "hidden" not in result.stdout + result.stderr
