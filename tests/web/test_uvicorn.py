"""What uvicorn prints, in its default configuration, of a start that fails and of refusals."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.processes import environment
from tests.minting import SECRET
from tests.providers.programs import PATIENCE, Program, browser

from .serving import bearer

APPLICATIONS = """
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, WebSocket

from jwt_deps import current_user_id, protect, protected_router, require_scopes

router = APIRouter()


@router.get("/me")
async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
    return user_id


@router.get("/admin", dependencies=[Depends(require_scopes("admin"))])
async def admin() -> None: ...


@router.websocket("/socket")
async def socket(websocket: WebSocket) -> None: ...


@asynccontextmanager
async def broken(_: FastAPI):
    raise OSError("no database")
    yield


routers = FastAPI()
routers.include_router(protected_router(router, *(APIRouter() for _ in range(15))))

whole = protect(FastAPI())
whole.include_router(router)

unlucky = protect(FastAPI(lifespan=broken))
"""
COMMAND = (sys.executable, "-m", "uvicorn", "--no-use-colors", "--port", "0", "--app-dir")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uvicorn")
    (folder / "applications.py").write_text(APPLICATIONS)
    return folder


def failed_start(folder: Path, app: str, **variables: str) -> list[str]:
    """The lines that uvicorn prints, of an application that does not start."""
    ended = subprocess.run(  # noqa: S603 - our own server
        [*COMMAND, folder, f"applications:{app}"],
        capture_output=True,
        text=True,
        env=environment(**variables),
        timeout=PATIENCE,
        check=False,
    )
    assert (3, "") == (ended.returncode, ended.stdout)
    return ended.stderr.splitlines()


def test_a_protected_application_without_a_key(folder: Path) -> None:
    """The sentence that says what to set is the one line between the server's own."""
    _, _, problem, end = failed_start(folder, "whole")

    assert problem.startswith("ERROR:    There is no key to check a token with: set JWT_SECRET_KEY")
    assert problem.endswith(" More: jwt-deps explain no_key")
    assert end.endswith("Application startup failed. Exiting.")


def test_a_protected_router_without_a_key(folder: Path) -> None:
    """The sentence is the last line of a traceback that is short, however many routers it has.

    Its lifespan runs inside that of the application, whose frames Starlette reports too.
    """
    lines = failed_start(folder, "routers")

    assert "jwt_deps.ConfigurationError: There is no key" in lines[-3]
    assert lines[-3].endswith(" More: jwt-deps explain no_key")
    assert 1 == len([line for line in lines if "in merged_lifespan" in line])
    assert not [line for line in lines if "pydantic" in line or "During handling" in line]
    assert 1 == len(
        [line for line in lines if "lifespan_with_keys" in line or "/settings/" in line]
    )


def test_another_error_keeps_its_traceback(folder: Path) -> None:
    """It is the application's own, and its author looks for the line."""
    lines = failed_start(folder, "unlucky", JWT_SECRET_KEY=SECRET)

    assert "OSError: no database" in lines
    assert [line for line in lines if "applications.py" in line]


@pytest.fixture(scope="module", params=["routers", "whole"])
def server(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Program, str]]:
    server = Program(
        [*COMMAND, str(folder), f"applications:{request.param}"],
        ready=re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)"),
        log=tmp_path_factory.mktemp("log") / "app.log",
        environment=environment(JWT_SECRET_KEY=SECRET),
    )
    try:
        yield server, server.start()[1]
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("path", "headers", "line"),
    [
        pytest.param("/me", {}, "request refused: reason=missing kid=None", id="missing"),
        pytest.param(
            "/me", bearer(exp=1), "request refused: reason=expired kid=None", id="expired"
        ),
        pytest.param("/admin", bearer(), "request refused: reason=scope kid=None", id="scope"),
        pytest.param(
            "/socket",
            {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            },
            "request refused: reason=missing kid=None",
            id="websocket",
        ),
    ],
)
def test_a_refusal_is_one_line(
    server: tuple[Program, str], path: str, headers: dict[str, str], line: str
) -> None:
    """Beside the server's own access log, and without configuration."""
    program, address = server
    before = program.printed()

    with browser(address) as client:
        assert client.get(path, headers=headers).status_code in {401, 403}

    printed = program.printed().removeprefix(before).splitlines()
    assert [line] == [it for it in printed if "refused" in it]
