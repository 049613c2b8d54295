"""Metrics and span attributes of a real process, without claim values."""

import asyncio
import hashlib
import importlib.util
import json
import multiprocessing
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.metrics import Meter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, use_span
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from jwt_deps import (
    Claims,
    IssuerSettings,
    JWTSettings,
    protect,
    protected_router,
    require_scopes,
    telemetry,
)
from jwt_deps.audit import audit
from jwt_deps.concurrency import JITTER
from jwt_deps.testing import FakeIssuer
from tests.keys.asking import AUDIENCE, discovering
from tests.keys.faking import DOWN, Keys
from tests.loading import loaded_anew
from tests.minting import SECRET, claims, mint
from tests.proving import ORIGIN, bound_token, with_dpop
from tests.revocation.valkey import until
from tests.web.serving import bearer, who

ISSUER = "https://issuer.example"

HASH = hashlib.sha256(ISSUER.encode()).hexdigest()[:16]
SETTINGS = JWTSettings(secret_key=SECRET, issuer=ISSUER)


class Service:
    """A guarded application in a process of its own, whose metrics can be read."""

    def __init__(self, origin: str) -> None:
        self.client = httpx2.Client(base_url=origin, trust_env=False, timeout=20)

    def ask(self, path: str, token: str | None = None) -> int:
        return self.send(path, {} if token is None else {"Authorization": f"Bearer {token}"})

    def send(self, path: str, headers: dict[str, str]) -> int:
        return self.client.get(path, headers=headers).status_code

    def text(self) -> str:
        return self.client.get("/metrics").text

    def metrics(self) -> dict[str, float]:
        """The series of this package, by name and labels, without where they were made."""
        found: dict[str, float] = {}
        for line in self.text().splitlines():
            if line.startswith("jwt_deps_"):
                series, value = line.rsplit(" ", 1)
                found[re.sub(r',?otel_scope_\w+="[^"]*"', "", series).replace("{,", "{")] = float(
                    value
                )
        return found


@contextmanager
def serving(tmp_path: Path, **settings: Any) -> Iterator[Service]:
    """Run the application under these settings."""
    plan = tmp_path / "settings.json"
    plan.write_text(json.dumps(settings))
    with subprocess.Popen(  # noqa: S603 - its own program
        [sys.executable, "-m", "tests.web.telemetry_app", str(plan)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            port = (process.stdout.readline() if process.stdout else "").strip()
            service = Service(f"http://127.0.0.1:{port}")
            with service.client:
                yield service
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait(20)


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer(algorithm="ES256") as running:
        yield running


def hashed(issuer: FakeIssuer) -> str:
    return hashlib.sha256(issuer.issuer.encode()).hexdigest()[:16]


def labelled(name: str, **labels: str) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"


def test_metrics_have_the_names_that_operators_know(tmp_path: Path, issuer: FakeIssuer) -> None:
    """Validations, refusals by reason, fetches, rotations and unknown keys are counted.

    Nothing that a token says can be read there: neither a claim's value, nor an issuer, nor a key
    id, nor a part of the token.
    """
    stranger = FakeIssuer(algorithm="ES256").signing_key
    named: dict[str, Any] = {"sub": "alice-in-wonderland"}
    with serving(tmp_path, **discovering(issuer)) as service:
        good = issuer.token(named, audience=AUDIENCE)
        answers = [
            service.ask("/me", good),
            service.ask("/me", good),
            service.ask("/me"),
            service.ask("/me", good[:-8] + "AAAAAAAA"),
            service.ask("/admin", good),
            service.ask("/me", issuer.token({"iss": "https://evil.example"}, audience=AUDIENCE)),
        ]
        before = service.metrics()
        issuer.rotate()
        foreign = issuer.token(named, audience=AUDIENCE, key=stranger)
        answers += [
            service.ask("/me", issuer.token(named, audience=AUDIENCE)),
            service.ask("/me", foreign),
            service.ask("/me", foreign),
        ]
        metrics, text = service.metrics(), service.text()

    def sets(found: dict[str, float]) -> list[float]:
        return sorted(v for name, v in found.items() if name.startswith("jwt_deps_jwks_key_set"))

    assert [200, 200, 401, 401, 403, 401, 200, 401, 401] == answers
    mine = hashed(issuer)
    count = "jwt_deps_validation_seconds_count"
    assert 3 == before[labelled(count, issuer_hash=mine, result="accepted")]
    assert 1 <= before[labelled(count, issuer_hash=mine, result="rejected")]
    rejections = "jwt_deps_rejections_total"
    for reason in ("missing", "signature", "scope"):
        assert 1 == before[labelled(rejections, reason=reason)]
    fetches = "jwt_deps_jwks_fetch_total"
    assert 1 == before[labelled(fetches, issuer_hash=mine, result="success")]
    assert before[labelled("jwt_deps_jwks_fetch_last_success_timestamp", issuer_hash=mine)] > 1e9
    unknown = "jwt_deps_unknown_kid_total"
    told = [v for name, v in metrics.items() if name.startswith(unknown) and mine in name]
    assert 2 == sum(told)
    assert ([1], [0, 1]) == (sets(before), sets(metrics))
    secrets = ("alice-in-wonderland", "evil.example", issuer.issuer, *good.split("."))
    assert [] == [secret for secret in secrets if secret in text]


def test_nothing_is_recorded_of_what_no_client_asked_for() -> None:
    """Neither the import nor a guard asks FastAPI something that it records as a request."""
    run(
        """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, reader, tracer = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
tracer.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(tracer)
metrics.set_meter_provider(MeterProvider([reader]))

from fastapi import FastAPI
from jwt_deps import JWTSettings, protect

protect(FastAPI(), JWTSettings(secret_key="s" * 40))
assert not spans.get_finished_spans()
assert not reader.get_metrics_data()
"""
    )


def test_an_outage_is_counted(tmp_path: Path, issuer: FakeIssuer) -> None:
    """Fetches that failed, and the old keys that were used meanwhile."""
    mine = hashed(issuer)
    failures = labelled("jwt_deps_jwks_fetch_total", issuer_hash=mine, result="failure")
    stale = labelled("jwt_deps_jwks_stale_served_total", issuer_hash=mine)
    short = {"ttl": 2, "max_ttl": 2, "timeout": 1}
    with serving(tmp_path, **discovering(issuer), jwks_cache=short) as service:
        token = issuer.token({"sub": "alice"}, audience=AUDIENCE)
        until(lambda: service.ask("/me", token) == 200)
        issuer.down()
        before = service.metrics().get(failures, 0)
        answers = set()

        def is_counted() -> bool:
            answers.add(service.ask("/me", f"{token[:-8]}AAAAAAAA"))
            metrics = service.metrics()
            return metrics.get(failures, 0) > before and metrics.get(stale, 0) > 0

        until(is_counted)

    assert {401} == answers


def test_replays_are_counted(tmp_path: Path) -> None:
    """A proof that comes again is a sign of a thief; one that does not hold is another matter."""
    bound = {"secret_key": SECRET, "dpop": "required", "public_origin": ORIGIN}
    token = bound_token()
    with serving(tmp_path, **bound) as service:
        once, other = with_dpop(token), with_dpop(token, htm="POST")
        answers = [service.send("/me", headers) for headers in (once, once, once, other)]
        metrics = service.metrics()

    assert [200, 401, 401, 401] == answers
    assert 2 == metrics["jwt_deps_replay_rejected_total{}"]


class TestWithoutListeners:
    """What does a request pay when there is no SDK, and what when there is no API?"""

    def test_nothing_is_told(self) -> None:
        """A validation that was not begun has no end."""
        telemetry.validated([ISSUER], "accepted", None)

    def test_an_sdk_is_told_whenever_it_is_configured(self) -> None:
        """Applications often do it after this package's import; until then nothing is measured."""
        run(
            """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from jwt_deps import telemetry
from tests.loading import loaded_anew

assert telemetry.start() is None
metrics.set_meter_provider(MeterProvider())
assert telemetry.start() is not None
assert loaded_anew(telemetry).start() is not None  # and when it was configured before
"""
        )

    @pytest.mark.parametrize("missing", [None, ModuleNotFoundError])
    def test_what_stands_for_the_api(
        self, monkeypatch: pytest.MonkeyPatch, missing: type[Exception] | None
    ) -> None:
        """The same in this process: nothing listens, and nothing fails."""

        def find(_: str) -> None:
            if missing:
                raise missing

        monkeypatch.setattr(importlib.util, "find_spec", find)
        silent = loaded_anew(telemetry)

        assert silent.start() is None
        silent.validated([ISSUER], "accepted", 1.0)
        silent.rejected("expired")
        silent.keys_failed(ISSUER)
        silent.keys_fetched(ISSUER, None, b"keys")
        silent.keys_fetched(ISSUER, b"keys", b"others")
        silent.stale_served(ISSUER)
        silent.unknown_kid(ISSUER, limited=True)
        silent.replay_rejected()

    def test_an_api_that_is_too_old(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Some other package needs it: nothing is told to it, and a warning says why."""

        def create_histogram(self: Any, name: str, unit: str = "", description: str = "") -> None:
            raise AssertionError((self, name, unit, description))

        monkeypatch.setattr(Meter, "create_histogram", create_histogram)
        silent = loaded_anew(telemetry)

        assert silent.start() is None
        silent.replay_rejected()
        assert ["jwt_deps"] == [record.name for record in caplog.records]
        assert caplog.messages[0].startswith("opentelemetry-api is older than 1.30")

    def test_an_instrument_of_another_kind_has_listeners(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever the API's next version holds, telling too much is the safe mistake."""
        recorded: list[float] = []
        instrument = SimpleNamespace(record=lambda seconds, _: recorded.append(seconds))
        monkeypatch.setattr(telemetry, "_validations", instrument)

        began = telemetry.start()

        assert began is not None
        telemetry.validated([ISSUER], "accepted", began)
        telemetry.rejected("expired")
        assert 1 == len(recorded)


#: Forks a process that has imported this, which takes most of the time, and not the package.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["fastapi.testclient", "opentelemetry.sdk.metrics"])


def run(script: str) -> None:
    """Run it in a process of its own, which has not imported the package."""
    process = FORKS.Process(target=exec, args=(script, {}))
    process.start()
    process.join(60)
    assert 0 == process.exitcode


class TestInProcess:
    """What a counter is told, by an SDK's own reader of this process's instruments."""

    @pytest.fixture
    def told(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, dict[str, Any]]]:
        told: list[tuple[str, float, dict[str, Any]]] = []
        for name in ("_fetches", "_last_success", "_key_sets", "_stale", "_unknown_kids"):
            note = partial(_note, told, name)
            monkeypatch.setattr(telemetry, name, SimpleNamespace(add=note, set=note))
        return told

    def test_of_the_keys(self, told: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """Each event is one count, with the issuer hashed; a former key set is 0 from then on."""
        monkeypatch.setattr(JITTER, "random", lambda: 0.0)
        keys = Keys()

        async def course() -> None:
            await keys.ask()
            keys.provider.kids = ("a", "b")
            for kid in ("x", "y", "z"):
                await keys.ask(kid)
            keys.provider.error = DOWN
            keys.clock.advance(600)
            await keys.ask()

        asyncio.run(course())

        former, new = (telemetry.digest(body) for body in (b'["a"]', b'["a", "b"]'))
        success, unknown = ("_fetches", 1, "success"), ("_unknown_kids", 1, False)
        assert [
            *(success, ("_key_sets", 1, former)),
            *(success, ("_key_sets", 0, former), ("_key_sets", 1, new), unknown),
            *(success, ("_key_sets", 1, new), unknown),
            ("_unknown_kids", 1, True),
            *(("_fetches", 1, "failure"), ("_stale", 1, None)),
        ] == [
            (name, value, labels.get("result", labels.get("hash", labels.get("limited"))))
            for name, value, labels in told
            if name != "_last_success"
        ]
        assert {telemetry.issuer_hash("the-issuer")} == {it["issuer_hash"] for *_, it in told}


def _note(
    told: list[tuple[str, float, dict[str, Any]]], name: str, value: float, labels: dict[str, Any]
) -> None:
    told.append((name, value, labels))


def _reading() -> APIRouter:
    router = APIRouter()

    router.get("/me")(who)
    return router


class TestSpans:
    """The current span gets the attributes, whichever library started it."""

    @staticmethod
    def attributes(
        headers: dict[str, str], settings: JWTSettings = SETTINGS, **options: Any
    ) -> dict[str, Any]:
        """The attributes that a request leaves on its server span."""
        span = TracerProvider().get_tracer("tests").start_span("request")
        app = FastAPI()
        router = _reading()

        @router.get("/admin", dependencies=[Depends(require_scopes("admin"))])
        async def admin() -> None: ...

        app.include_router(protected_router(router, settings=settings, **options))

        async def traced(scope: Any, receive: Any, send: Any) -> None:
            with use_span(span, end_on_exit=True):
                await app(scope, receive, send)

        path = headers.pop("path", "/me")
        TestClient(traced).get(path, headers=headers)
        return dict(getattr(span, "attributes", None) or {})

    def test_of_a_token_that_is_good(self) -> None:
        """Its issuer, hashed, and that it was accepted."""
        found = self.attributes(bearer(iss=ISSUER))

        assert {"jwt_deps.issuer_hash": HASH, "jwt_deps.result": "accepted"} == found

    def test_of_an_opaque_token_that_is_good(self) -> None:
        """It was not checked as a JWT, so it was not rejected."""

        async def opaque(connection: HTTPConnection) -> Claims:
            return Claims({"sub": connection.headers["authorization"]})

        headers = {"Authorization": "Bearer opaque"}
        assert {} == self.attributes(headers, credentials=[opaque])

    def test_of_settings_without_an_issuer(self) -> None:
        """There is nothing to hash."""
        found = self.attributes(bearer(), JWTSettings(secret_key=SECRET))

        assert {"jwt_deps.result": "accepted"} == found

    def test_of_a_token_that_is_refused(self) -> None:
        """The reason, as the log and the exception have it."""
        expired = {"Authorization": f"Bearer {mint(claims(now=0, iss=ISSUER))}"}
        expected = {
            "jwt_deps.issuer_hash": HASH,
            "jwt_deps.result": "rejected",
            "jwt_deps.reason": "expired",
        }

        assert expected == self.attributes(expired)

    def test_of_no_token(self) -> None:
        """Nothing was validated; the request was refused all the same."""
        assert {"jwt_deps.reason": "missing"} == self.attributes({})

    def test_of_a_caller_who_lacks_a_scope(self) -> None:
        """The token was good, and the request was refused."""
        found = self.attributes({"path": "/admin", **bearer(iss=ISSUER)})

        assert ("accepted", "scope") == (found["jwt_deps.result"], found["jwt_deps.reason"])

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("guard", ["router", "application"])
    def test_of_an_application_that_opentelemetry_instruments(self, guard: str, when: str) -> None:
        """It leaves an application alone whose layers are not those that it knows."""
        spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        app = FastAPI()
        if when == "before":
            FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
        if guard == "router":
            app.include_router(protected_router(_reading(), settings=SETTINGS))
        else:
            protect(app, SETTINGS).include_router(_reading())
        if when == "after":
            FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
        client = TestClient(app)

        app.router.routes.append(Route("/plain", PlainTextResponse("plain")))
        found = {it.path: it.verdict for it in audit(app).routes}
        answers = [client.get("/me", headers=it) for it in ({}, bearer(iss=ISSUER))]

        assert "guarded" == found["/me"]
        assert ("guarded" if guard == "application" else "unguarded") == found["/plain"]
        refused, served = (it for it in spans.get_finished_spans() if it.kind is SpanKind.SERVER)
        assert [401, 200] == [answer.status_code for answer in answers]
        assert refused.attributes is not None
        assert served.attributes is not None
        assert ("/me", "missing") == (
            refused.attributes["http.route"],
            refused.attributes["jwt_deps.reason"],
        )
        assert ("/me", "accepted") == (
            served.attributes["http.route"],
            served.attributes["jwt_deps.result"],
        )

    @pytest.mark.parametrize("first", ["tool", "jwt_deps"])
    def test_a_tool_that_keeps_weak_references_to_applications(self, first: str) -> None:
        """As Logfire does in a function that it puts in the place of one of FastAPI's."""
        instrument = """
from weakref import WeakKeyDictionary
import fastapi.routing
solve, known = fastapi.routing.solve_dependencies, WeakKeyDictionary()
async def solving(*, request, **options):
    known[request.app] = True
    return await solve(request=request, **options)
fastapi.routing.solve_dependencies = solving
"""
        use = "\nimport jwt_deps\n"
        script = (
            (instrument + use if first == "tool" else use + instrument)
            + f"""
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
app = jwt_deps.protect(FastAPI(), jwt_deps.JWTSettings(secret_key={SECRET!r}))
@app.get("/me")
async def me(user=Depends(jwt_deps.CurrentUser)): return user.id
client, headers = TestClient(app), {bearer()!r}
assert 401 == client.get("/me").status_code
assert 200 == client.get("/me", headers=headers).status_code
"""
        )
        run(script)

    @pytest.mark.parametrize("first", ["opentelemetry", "jwt_deps"])
    def test_of_every_application_that_opentelemetry_instruments(self, first: str) -> None:
        """Before this package is imported or after: it puts a class of its own in FastAPI's place.

        Plain routes are guarded there as well.
        """
        instrument = """
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
FastAPIInstrumentor().instrument(tracer_provider=provider)
"""
        use = "\nimport jwt_deps\n"
        script = (
            (instrument + use if first == "opentelemetry" else use + instrument)
            + f"""
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry.trace import SpanKind
from starlette.responses import PlainTextResponse
from starlette.routing import Route
settings = jwt_deps.JWTSettings(secret_key={SECRET!r})

def fill(app):
    app.get("/me")(lambda: "inside")
    app.add_route("/plain", lambda _: PlainTextResponse("inside"))
    app.mount("/mount", PlainTextResponse("inside"))
    return app

apps = [FastAPI() for _ in range(3)]
fill(jwt_deps.protect(apps[0], settings))
jwt_deps.protect(fill(apps[1]), settings)
apps[2].mount("/p", fill(jwt_deps.protected_router(settings=settings)))
for app, prefix in zip(apps, ("", "", "/p")):
    client = TestClient(app)
    paths = [prefix + path for path in ("/me", "/plain", "/mount/x")]
    assert [401] * 3 == [client.get(path).status_code for path in paths]
    headers = {bearer()!r}
    assert [200] * 3 == [client.get(path, headers=headers).status_code for path in paths]

server = [it for it in spans.get_finished_spans() if it.kind is SpanKind.SERVER]
assert {{"missing": 9, None: 9}} == {{
    reason: sum(it.attributes.get("jwt_deps.reason") == reason for it in server)
    for reason in ("missing", None)
}}
"""
        )
        run(script)

    def test_of_one_issuer_among_several(self) -> None:
        """The issuer whose token it is, by the first name that its settings have."""
        settings = JWTSettings(
            issuers={
                "own": IssuerSettings(
                    secret_key=SECRET, issuer=[ISSUER, "https://b.example"], verify_audience=False
                )
            }
        )
        found = self.attributes(bearer(iss="https://b.example"), settings)

        assert HASH == found["jwt_deps.issuer_hash"]

    def test_of_an_issuer_that_cannot_be_reached(self) -> None:
        """It is not said that the token was rejected."""
        with FakeIssuer(algorithm="ES256") as issuer:
            token = issuer.token(audience=AUDIENCE)
            settings = JWTSettings(**discovering(issuer))
            issuer.down()
            found = self.attributes({"Authorization": f"Bearer {token}"}, settings)

        assert ("unavailable", "keys_unavailable") == (
            found["jwt_deps.result"],
            found["jwt_deps.reason"],
        )
