"""Scopes for one resource: path parameters in needed scopes, wildcards in granted ones."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.websockets import WebSocketDisconnect

from jwt_deps import (
    All,
    ConfigurationError,
    JWTSettings,
    current_user_id,
    granted,
    mount_resource_metadata,
    protect,
    protected_router,
    public,
    require_any_scope,
    require_scopes,
)
from jwt_deps.audit import audit
from jwt_deps.testing import acting_as
from tests.minting import SECRET
from tests.web.serving import including

from .serving import SETTINGS, bearer, live_mounts

RUN = "agents:{agent_id}:run"
ADMIN = JWTSettings(secret_key=SECRET, admin_scope="root")


def app_with(dependency: Any, settings: JWTSettings = SETTINGS) -> FastAPI:
    """An application with routes for an agent, of several kinds."""
    router = protected_router(settings=settings)

    @router.post("/agents/{agent_id}/runs", dependencies=[dependency])
    async def run(agent_id: str) -> str:
        return agent_id

    @router.get("/files/{agent_id:path}/x", dependencies=[dependency])
    async def file(agent_id: str) -> str:
        return agent_id

    @router.get("/numbers/{agent_id:int}", dependencies=[dependency])
    async def number(agent_id: int) -> int:
        return agent_id

    @router.websocket("/agents/{agent_id}/ws", dependencies=[dependency])
    async def talk(websocket: WebSocket, agent_id: str) -> None:
        await websocket.accept()
        await websocket.send_text(agent_id)
        await websocket.close()

    return including(router)


NEEDED = [
    pytest.param(Depends(require_scopes(RUN)), id="require_scopes"),
    pytest.param(Depends(require_any_scope("never", RUN)), id="require_any_scope"),
    pytest.param(Security(current_user_id, scopes=[RUN]), id="security"),
]


@pytest.mark.parametrize("dependency", NEEDED)
@pytest.mark.parametrize(
    ("path", "scope", "status"),
    [
        pytest.param("/agents/a/runs", "agents:a:run", 200, id="its-own"),
        pytest.param("/agents/a/runs", "agents:*:run", 200, id="any"),
        pytest.param("/agents/a/runs", "agents:*", 200, id="everything-of-any"),
        pytest.param("/agents/a/runs", "root", 200, id="admin"),
        pytest.param("/agents/b/runs", "agents:a:run", 403, id="another"),
        pytest.param("/agents/a/runs", "agents:a:read", 403, id="another-action"),
        pytest.param("/agents/*/runs", "agents:a:run", 403, id="a-star"),
        pytest.param("/agents/%2A/runs", "agents:a:run", 403, id="an-encoded-star"),
        pytest.param("/agents/a:run/runs", "agents:a:run", 403, id="a-colon"),
        pytest.param("/agents/a%3Arun/runs", "agents:a:run:run", 403, id="an-encoded-colon"),
        pytest.param("/agents/%61/runs", "agents:a:run", 200, id="an-encoded-letter"),
    ],
)
def test_a_path_parameter_is_what_the_endpoint_gets(
    dependency: Any, path: str, scope: str, status: int
) -> None:
    client = TestClient(app_with(dependency, ADMIN))

    assert status == client.post(path, headers=bearer(scope=scope)).status_code


@pytest.mark.parametrize(
    ("path", "scope", "status"),
    [
        pytest.param("/files/a/b/x", "agents:a/b:run", 200, id="slashes"),
        pytest.param("/files/a/b/x", "agents:a:run", 403, id="its-beginning"),
        pytest.param("/files//x", "agents:a:run", 403, id="nothing"),
        pytest.param("/numbers/7", "agents:7:run", 200, id="a-number"),
        pytest.param("/numbers/007", "agents:7:run", 200, id="the-same-number"),
    ],
)
def test_a_converted_parameter(path: str, scope: str, status: int) -> None:
    """As the path's convertor reads it."""
    client = TestClient(app_with(Depends(require_scopes(RUN))))

    assert status == client.get(path, headers=bearer(scope=scope)).status_code


def test_on_a_websocket() -> None:
    client = TestClient(app_with(Depends(require_scopes(RUN))))

    with client.websocket_connect("/agents/a/ws", headers=bearer(scope="agents:a:run")) as socket:
        assert "a" == socket.receive_text()
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/agents/b/ws", headers=bearer(scope="agents:a:run")),
    ):
        pass


@live_mounts
def test_on_plain_routes_and_mounts() -> None:
    """What FastAPI runs no dependencies for has path parameters too."""
    app = FastAPI()
    answer = PlainTextResponse("hello")
    app.router.routes += [
        Route("/agents/{agent_id}", lambda _: answer),
        Mount("/agents/{agent_id}/files", answer),
    ]
    protect(app, SETTINGS, dependencies=[Depends(require_scopes(RUN))])
    client = TestClient(app)

    for path in ("/agents/{}", "/agents/{}/files/x"):
        statuses = [
            client.get(path.format(it), headers=bearer(scope="agents:a:run")).status_code
            for it in ("a", "b", "*")
        ]
        assert [200, 403, 403] == statuses


def test_the_challenge_names_the_scope_to_ask_for() -> None:
    """With the value of this request."""
    client = TestClient(app_with(Depends(require_scopes(RUN, "read"))))

    def challenge(path: str) -> str:
        return client.post(path, headers=bearer()).headers["www-authenticate"]

    assert ', scope="agents:a:run read"' in challenge("/agents/a/runs")
    assert ', scope="read"' in challenge("/agents/*/runs")
    assert ', scope="read"' in challenge("/agents/%22%0D%0A/runs")


def test_the_challenge_names_no_scope_of_a_guard_that_excludes_the_route() -> None:
    """A token with the others is accepted there."""
    router = APIRouter()

    @router.get("/x", dependencies=[Depends(require_scopes("read", "write"))])
    @public
    async def read() -> str:
        return "inside"

    app = FastAPI()
    app.include_router(protected_router(router, settings=SETTINGS, scopes={"/*": "api"}))
    client = TestClient(app)

    challenge = client.get("/x", headers=bearer(scope="read")).headers["www-authenticate"]

    assert ', scope="read write"' in challenge
    assert 200 == client.get("/x", headers=bearer(scope="read write")).status_code


def test_the_challenge_for_a_missing_token_names_it_too() -> None:
    """Where the service describes itself (RFC 9728), for each request anew."""
    settings = JWTSettings(secret_key=SECRET, resource="https://api.example")
    app = app_with(Depends(require_scopes(RUN)), settings)
    mount_resource_metadata(app, settings)
    client = TestClient(app, base_url="https://api.example")

    challenges = [client.post(f"/agents/{it}/runs").headers["www-authenticate"] for it in "ab"]

    assert ['scope="agents:a:run"' in challenges[0], 'scope="agents:b:run"' in challenges[1]] == [
        True,
        True,
    ]
    assert "scopes_supported" not in client.get("/.well-known/oauth-protected-resource").json()


def test_a_parameter_that_the_route_does_not_have() -> None:
    """Every request fails, and the audit says so before."""
    router = protected_router(settings=SETTINGS, dependencies=[Depends(require_scopes(RUN))])
    router.get("/agents")(lambda: "all of them")
    app = including(router)

    with pytest.raises(ConfigurationError, match="'agent_id'"):
        TestClient(app).get("/agents", headers=bearer(scope="agents:*"))
    assert (
        "/agents needs the scope 'agents:{agent_id}:run' and has no path parameter 'agent_id': "
        "every request to it fails."
    ) in audit(app).problems
    assert audit(app_with(Depends(require_any_scope(RUN, "read")))).ok


def test_the_audit_names_an_administrators_scope() -> None:
    """Setting it is a loosening, which a comparison shows."""
    (route, *_) = (it for it in audit(app_with(NEEDED[0].values[0], ADMIN)).routes if it.scopes)

    assert route.settings.endswith("admin_scope=root")


def listing(settings: JWTSettings = ADMIN) -> FastAPI:
    """An application that lists agents."""
    router = APIRouter()

    @router.get("/agents")
    async def agents(
        ids: Annotated[frozenset[str] | All, Depends(granted("agents", "read"))],
    ) -> list[str]:
        return [it for it in ("a", "b", "c") if it in ids]

    return including(protected_router(router, settings=settings))


@pytest.mark.parametrize(
    ("scopes", "ids"),
    [
        (["agents:a:read", "agents:c:read"], ["a", "c"]),
        (["agents:*:read"], ["a", "b", "c"]),
        (["root"], ["a", "b", "c"]),
        (["agents:a:run"], []),
        ([], []),
    ],
)
def test_granted_filters_a_list(scopes: list[str], ids: list[str]) -> None:
    """By what the route of each item would let pass."""
    app = listing()

    with acting_as(app, "alice", scopes=scopes):
        assert ids == TestClient(app).get("/agents").json()


@pytest.mark.parametrize("parts", [("", "read"), ("agents", "a b"), ("agents:{id}", "read"), "a*"])
def test_granted_takes_segments(parts: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="before and after an id"):
        granted(*parts)


@pytest.mark.parametrize(
    "scope",
    [
        *("agents:x{agent_id}:run", "agents:x{agent_id}", "agents:{}", "agents:{a-b}"),
        *("agents:{a", "agents:a}", "agents:{{a}}"),
    ],
)
def test_a_parameter_is_a_whole_segment(scope: str) -> None:
    """In braces, with the name of a path parameter; else it is not known where its value ends."""
    with pytest.raises(ConfigurationError, match="a path parameter is a whole segment"):
        require_scopes(scope)
