"""A request without a token, or with a bad one, is refused before its body is read."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, FastAPI, File, UploadFile
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from jwt_deps import protect, protected_router
from tests.web.serving import OTHER, SETTINGS

from .asking import FOREIGN, GOOD, LIVE, including, send_request

Headers = dict[str, str]

CHUNKS = 100
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
MULTIPART = [PART + b"x" * 1024, *[b"x" * 1024] * (CHUNKS - 2), b"\r\n--b--\r\n"]
JSON = [b'{"size":', *[b" " * 1024] * (CHUNKS - 2), b"1}"]
FORM = [b"a=1", *[b"x" * 1024] * (CHUNKS - 1)]

BODIES = {
    "multipart": ("/upload", "multipart/form-data; boundary=b", MULTIPART),
    "json": ("/json", "application/json", JSON),
    "raw-in-an-api-route": ("/raw", "application/octet-stream", FORM),
    "raw-in-a-plain-route": ("/plain", "application/octet-stream", FORM),
}
bodies = pytest.mark.parametrize("body", list(BODIES))


def reading() -> APIRouter:
    """Make a router whose endpoints answer with the size of what they read."""
    router = APIRouter()

    @router.post("/upload")
    async def upload(file: Annotated[UploadFile, File()]) -> int:
        return len(await file.read())

    @router.post("/json")
    async def json(members: Annotated[dict[str, Any], Body()]) -> int:
        return int(members["size"])

    @router.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    async def plain(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    router.add_route("/plain", plain, methods=["POST"])
    return router


def protected_application() -> FastAPI:
    return protect(including(reading()), SETTINGS)


def protected_before() -> FastAPI:
    """Protect an application first, and include the router then."""
    app = protect(FastAPI(), SETTINGS)
    app.include_router(reading())
    return app


def router_of_protected_application() -> FastAPI:
    app = FastAPI()
    app.router.routes.extend(reading().routes)
    return protect(app, SETTINGS)


def mounted_in_protected_application() -> FastAPI:
    app = protect(FastAPI(openapi_url=None), SETTINGS)
    app.mount("", including(reading()))
    return app


def behind_protected_router() -> FastAPI:
    return including(protected_router(reading(), settings=SETTINGS))


def behind_two_protected_routers() -> FastAPI:
    inner = protected_router(reading(), settings=SETTINGS)
    return including(protected_router(inner, settings=OTHER))


def protected_router_decorated_and_mounted() -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.mount("", protected_router(reading(), settings=SETTINGS))
    return app


def protected_router_mounted_below_a_guard() -> FastAPI:
    app = protect(FastAPI(openapi_url=None), OTHER)
    app.mount("", protected_router(reading(), settings=SETTINGS))
    return app


PLACES: list[Callable[[], FastAPI]] = [
    protected_application,
    protected_before,
    router_of_protected_application,
    mounted_in_protected_application,
]
if LIVE:  # up to 0.136 nothing of a router is asked before FastAPI reads the body
    PLACES += [
        behind_protected_router,
        behind_two_protected_routers,
        protected_router_decorated_and_mounted,
        protected_router_mounted_below_a_guard,
    ]
places = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)


def send(app: FastAPI, body: str, headers: Headers) -> tuple[int, bytes, int]:
    path, content_type, chunks = BODIES[body]
    return send_request(app, "POST", path, {"content-type": content_type, **headers}, chunks)


@places
@bodies
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-token"),
        pytest.param(FOREIGN, id="foreign-token"),
        pytest.param({"Authorization": "Bearer nonsense"}, id="no-jwt"),
        pytest.param({"Authorization": "Basic YTpi"}, id="other-scheme"),
    ],
)
def test_a_refused_request_has_none_of_its_body_read(
    headers: Headers, body: str, place: Callable[[], FastAPI]
) -> None:
    """401, and `receive()` was not called once."""
    status, _, asked = send(place(), body, headers)

    assert (401, 0) == (status, asked)


@places
@bodies
def test_the_body_arrives_whole_with_a_good_token(body: str, place: Callable[[], FastAPI]) -> None:
    """All chunks, in their order."""
    size = {"json": 1, "multipart": 1024 * (CHUNKS - 1)}.get(body, 3 + 1024 * (CHUNKS - 1))

    status, answer, asked = send(place(), body, GOOD)

    assert (200, str(size), CHUNKS) == (status, answer.decode(), asked)


@places
@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), (FOREIGN, 401), (GOOD, 422)], ids=["none", "foreign", "good"]
)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"size":', id="malformed"),
        pytest.param(b"[]", id="of-another-type"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_wrong_body_is_explained_with_a_good_token_only(
    text: bytes, headers: Headers, status: int, place: Callable[[], FastAPI]
) -> None:
    """422 shows the schema; without a token it is 401."""
    answer = send_request(
        place(), "POST", "/json", {"content-type": "application/json", **headers}, [text]
    )

    assert status == answer[0]


@places
def test_a_client_that_hangs_up_after_its_headers_is_refused(place: Callable[[], FastAPI]) -> None:
    """No body, no end of a body: the refusal does not wait for either."""
    status, _, asked = send_request(
        place(), "POST", "/json", {"content-type": "application/json"}, []
    )

    assert (401, 0) == (status, asked)


@pytest.mark.parametrize("place", [behind_protected_router, protected_application])
def test_a_large_upload_is_answered_with_its_size(place: Callable[[], FastAPI]) -> None:
    """Through a real client, which streams."""
    client = TestClient(place())

    files = {"file": b"x" * 200_000}
    answers = [
        client.post("/upload", files=files, headers=headers) for headers in ({}, FOREIGN, GOOD)
    ]

    assert [401, 401, 200] == [answer.status_code for answer in answers]
    assert 200_000 == answers[2].json()


if not LIVE:

    def test_a_protected_router_refuses_after_the_body_up_to_0_136() -> None:
        """FastAPI reads it first there; the refusal is a 401 all the same, and nothing runs."""
        status, _, _ = send(behind_protected_router(), "json", {})

        assert status == 401
