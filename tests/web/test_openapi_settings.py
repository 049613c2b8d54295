"""What schema and audit know of settings that an application's own code decides."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient

from jwt_deps import JWTSettings, get_claims, get_settings
from jwt_deps.audit import audit
from jwt_deps.web.known_settings import known_settings, settings_problem
from jwt_deps.web.routing import RouteGuard
from tests.minting import SECRET
from tests.web.documents import BEARER, open_to_all, schemes
from tests.web.serving import SETTINGS

COOKIE = JWTSettings(secret_key=SECRET, token_source="cookie")


def plain() -> JWTSettings:
    return COOKIE


def generator() -> Iterator[JWTSettings]:
    yield COOKIE


async def coroutine() -> JWTSettings:
    return COOKIE


async def asynchronous_generator() -> AsyncIterator[JWTSettings]:
    yield COOKIE


def of_request(_: Request) -> JWTSettings:
    return COOKIE


def of(settings: JWTSettings) -> JWTSettings:
    return settings


async def later(settings: JWTSettings) -> JWTSettings:
    return settings


def raising() -> JWTSettings:
    raise RuntimeError("the password is hunter2")


def raising_generator() -> Iterator[JWTSettings]:
    yield COOKIE
    raise LookupError


class Answer:
    def __call__(self) -> JWTSettings:
        return COOKIE


class OfRequest:
    def __new__(cls, _: Request) -> Any:
        return COOKIE


class Generator:
    def __call__(self) -> Iterator[JWTSettings]:
        yield COOKIE


class Coroutine:
    async def __call__(self) -> JWTSettings:
        return COOKIE


def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def around() -> Any:
        return call()

    return around


NEEDS, WAITS = "needs a request", "is asynchronous, and runs only for a request"
UNKNOWN = [
    pytest.param(of_request, NEEDS, id="of-request"),
    pytest.param(OfRequest, NEEDS, id="class-of-request"),
    pytest.param(coroutine, WAITS, id="coroutine"),
    pytest.param(asynchronous_generator, WAITS, id="asynchronous-generator"),
    pytest.param(Coroutine(), WAITS, id="object-with-asynchronous-call"),
    pytest.param(partial(later, COOKIE), WAITS, id="partial-of-coroutine"),
    pytest.param(partial(Coroutine()), WAITS, id="partial-of-object"),
    pytest.param(wrapped(coroutine), WAITS, id="wrapped-coroutine"),
    pytest.param(raising, "raises RuntimeError", id="raising"),
    pytest.param(raising_generator, "raises LookupError", id="raising-afterwards"),
    pytest.param(lambda: coroutine(), "gives no JWTSettings", id="coroutine-object"),  # noqa: PLW0108
    pytest.param(lambda: None, "gives no JWTSettings", id="nothing"),
]
KNOWN = [
    pytest.param(plain, id="plain"),
    pytest.param(generator, id="generator"),
    pytest.param(Answer(), id="object"),
    pytest.param(Generator(), id="object-with-generator"),
    pytest.param(partial(of, COOKIE), id="partial"),
    pytest.param(partial(generator), id="partial-of-generator"),
    pytest.param(wrapped(generator), id="wrapped-generator"),
]


def app_with(override: Any, app: FastAPI | None = None) -> FastAPI:
    app = app or open_to_all()
    app.get("/r", dependencies=[Depends(get_claims)])(lambda: None)
    app.dependency_overrides[get_settings] = override
    return app


@pytest.mark.parametrize("override", KNOWN)
def test_what_answers_without_a_request_is_asked(override: Any) -> None:
    """The schema then shows where requests carry their token."""
    app = app_with(override)

    assert known_settings(app, None) is COOKIE
    assert settings_problem(app) is None
    assert ["JWT-cookie-access_token"] == list(schemes(app))


def test_the_class_of_the_settings_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parameters are no inputs of a request."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    app = app_with(JWTSettings)

    assert isinstance(known_settings(app, None), JWTSettings)
    assert settings_problem(app) is None


@pytest.mark.parametrize(("override", "reason"), UNKNOWN)
def test_what_does_not_is_a_problem_of_the_audit(override: Any, reason: str) -> None:
    """The schema shows plain bearer, and nothing of what an error says."""
    app = app_with(override)
    sentence = f"There are no usable settings: what replaces get_settings {reason}."

    assert known_settings(app, None) is None
    assert sentence == settings_problem(app)
    assert sentence in audit(app_with(override, FastAPI())).problems
    answer = TestClient(app).get("/openapi.json")
    assert 200 == answer.status_code
    assert {"JWT": BEARER} == answer.json()["components"]["securitySchemes"]
    assert "hunter2" not in answer.text


def test_a_guard_knows_its_own() -> None:
    guard = RouteGuard(SETTINGS)

    assert known_settings(app_with(raising), guard) is SETTINGS


def test_a_class_is_called() -> None:
    """Settings from the environment, of the class itself; its `__call__` is not what runs."""

    class Tenant(Coroutine):
        """It makes an object, which is not settings."""

    assert "gives no JWTSettings" in str(settings_problem(app_with(Tenant)))


def test_what_a_generator_holds_is_given_back() -> None:
    """It runs to its end, as after a request."""
    steps = []

    def opened() -> Iterator[JWTSettings]:
        steps.append("open")
        yield SETTINGS
        steps.append("close")

    assert known_settings(app_with(opened), None) is SETTINGS
    assert ["open", "close"] == steps


def test_one_document_asks_once() -> None:
    """However many routes it has."""
    asked = []

    def counted() -> JWTSettings:
        asked.append(1)
        return SETTINGS

    app = app_with(counted)
    for number in range(5):
        app.get(f"/{number}", dependencies=[Depends(get_claims)])(lambda: None)
    app.openapi()

    assert [1] == asked


def test_an_application_that_asks_for_no_token_is_not_asked() -> None:
    """Its document has nothing that settings could change."""
    app = open_to_all()
    app.get("/r")(lambda: None)
    app.dependency_overrides[get_settings] = pytest.fail

    assert "components" not in app.openapi()


def test_a_test_that_ends_is_not_held_up() -> None:
    """`pytest.fail` and an interrupt are no errors of an override."""

    def stop() -> JWTSettings:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        known_settings(app_with(stop), None)


def test_without_an_override_there_is_no_problem() -> None:
    """What the environment holds is judged where it is used."""
    assert settings_problem(FastAPI()) is None
