"""The servers that are asked what `jwt-deps conformance` asks, each with its own options.

Each is configured with all that it has for what is asked, as its documentation shows it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket
from typer.testing import CliRunner, Result

from benchmarks import peers, tokens
from jwt_deps import (
    CurrentUser,
    JWTSettings,
    mount_resource_metadata,
    protect,
    public,
    require_acr,
    require_scopes,
)
from jwt_deps.cli.app import main
from jwt_deps.cli.demo.api import demo_app
from jwt_deps.cli.demo.server import address_of, listen, running
from tests.minting import SECRET
from tests.providers.programs import unused_port

__all__ = ["SERVERS", "ask", "asked"]

_PEERS = {name: make for _, name, _, make in peers.PEERS}


@dataclass(frozen=True)
class Server:
    """A server, and with which options it is asked.

    Attributes:
        package: what it is made of.
        make: makes the application, for its own address and that of the issuer.
        options: what it is asked with; `KEY` is a file with the secret, `ISSUER` an address.
        path: the guarded address.
    """

    package: str
    make: Callable[[str, str], Any]
    options: str
    path: str = "/x"

    @property
    def title(self) -> str:
        return f"{self.package} {version(self.package)}"


def guarded(url: str, issuer: str, **values: Any) -> FastAPI:
    """An application behind this package with all that can be asked."""
    settings = JWTSettings(
        **{
            "issuer": issuer,
            "audience": "api",
            "algorithm": "ES256",
            "discovery": True,
            "allow_loopback": True,
            "token_source": "both",
            "cookie_requests": "same-origin",
            "dpop": "allowed",
            "public_origin": url,
            "client_certificate": "client-cert",
            "trusted_proxies": ["127.0.0.1"],
            "resource": "https://api.example/notes",
            "_env_prefix": "NO_VARIABLES_",
            **values,
        }
    )
    app = FastAPI()

    @app.get("/x", dependencies=[Depends(require_scopes("notes"))])
    @app.post("/x")
    async def read() -> str:
        return "x"

    @app.get("/health")
    @public
    async def health() -> str:
        return "ok"

    @app.get("/step-up", dependencies=[Depends(require_acr("phr", max_age=300))])
    async def step_up() -> str:
        return "x"

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, user: Annotated[CurrentUser, Depends()]) -> None:
        await websocket.accept()
        await websocket.send_text(user.id)

    protect(app, settings)
    mount_resource_metadata(app, settings)
    return app


def _agent_os(_: str, __: str) -> FastAPI:
    """AgentOS behind its own middleware."""
    from tests.agentos.side_by_side import Setup  # noqa: PLC0415 - agno is slow to import

    middleware = {
        "audience": tokens.AUDIENCE,
        "verify_audience": True,
        "issuer": tokens.ISSUER,
        "token_source": _token_source(),
    }
    return Setup(middleware=middleware).control()


def _token_source() -> Any:
    from agno.os.middleware.jwt import TokenSource  # noqa: PLC0415

    return TokenSource.BOTH


def _peer(name: str) -> Callable[[str, str], Any]:
    return lambda *_: _PEERS[name]("HS256")


_BROWSER = "--cookie access_token --post"
_ALL = (
    f"--issuer ISSUER --algorithm ES256 --audience api --scope notes --public /health "
    f"{_BROWSER} /x --websocket /ws --dpop --certificate Client-Cert --step-up /step-up --acr phr "
    "--resource https://api.example/notes"
)
_KEY = f"--key KEY --audience {tokens.AUDIENCE} --claim iss={tokens.ISSUER}"

SERVERS = {
    "jwt-deps": Server("jwt-deps", guarded, _ALL),
    "demo": Server(
        "jwt-deps",
        lambda *_: demo_app(SECRET),
        f"--key KEY --public /health {_BROWSER} /login --websocket /ws",
        "/me",
    ),
    "rfc9068": Server(
        "jwt-deps",
        lambda url, issuer: guarded(url, issuer, profile="rfc9068", algorithm="RS256"),
        "--issuer ISSUER --audience api --scope notes --rfc9068",
    ),
    "agno": Server(
        "agno",
        _agent_os,
        f'{_KEY} --claim scopes=["agent_os:admin"] --public /health --cookie access_token',
        "/agents",
    ),
    "authx": Server("authx", _peer("authx"), f"{_KEY} --claim type=access"),
    "fastapi-jwt": Server(
        "fastapi-jwt",
        _peer("fastapi-jwt, no aud/iss"),
        '--key KEY --claim subject={"id":"user"} --claim type=access',
    ),
}


@contextmanager
def serving(server: Server) -> Iterator[tuple[str, str]]:
    """Serve it; yield its address, and that of an issuer that is still to be started."""
    issuer = f"http://127.0.0.1:{unused_port()}"
    listener = listen("127.0.0.1", 0)
    with running(server.make(address_of(listener), issuer), listener) as url:
        yield url, issuer


def ask(name: str, directory: Path, *more: str) -> Result:
    """Run the command against one of the servers."""
    server = SERVERS[name]
    key = directory / "key"
    key.write_text(SECRET)
    with serving(server) as (url, issuer):
        named = {"KEY": str(key), "ISSUER": issuer}
        options = [named.get(word, word) for word in server.options.split()]
        return CliRunner().invoke(main, ["conformance", url + server.path, *options, *more])


def asked(name: str, directory: Path, only: str = "") -> list[dict[str, Any]]:
    """The documents of the JSON output for one of the servers."""
    done = ask(name, directory, "--format", "json", "--only", only)
    assert done.exit_code in {0, 1}, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
