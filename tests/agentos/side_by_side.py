"""Two AgentOS with the same agents: one behind agno's own middleware, one behind the guard.

    python -m tests.agentos.side_by_side        ask both the most important questions, and compare

Each question goes to both, over HTTP to uvicorn. The answers have to be the same, or to differ in
a way that the question itself names.
"""

import json
import logging
import re
import shutil
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from tempfile import mkdtemp
from typing import Any

import httpx2
from agno.agent import Agent
from agno.db.schemas.evals import EvalRunRecord, EvalType
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.os.authz import Authorization, AuthorizationContext, AuthorizationProvider
from agno.os.authz.audit import AuditEvent, AuditSink
from agno.os.interfaces.base import BaseInterface
from agno.os.middleware.jwt import JWTMiddleware
from agno.team import Team
from agno.tracing.schemas import Trace
from agno.workflow import Step, Workflow
from fastapi import APIRouter, FastAPI
from sqlalchemy import create_engine

from examples.agentos.offline import OfflineModel, whoami
from jwt_deps import JWTSettings
from jwt_deps.agentos import protect_agent_os
from tests.listening import listening
from tests.minting import OTHER_SECRET, SECRET, claims, mint

INTERNAL = "the-internal-token-of-the-scheduler"
ADMIN = "agent_os:admin"


def database() -> SqliteDb:
    """One in a file: one in memory is gone once a cancelled request has closed the connection."""
    folder = mkdtemp()
    kept = SqliteDb(db_engine=create_engine(f"sqlite:///{folder}/agent_os.db"))
    weakref.finalize(kept, shutil.rmtree, folder, ignore_errors=True)
    return kept


def store_data_of(user: str, db: Any) -> None:
    """Store a trace, an evaluation and what was learnt, as AgentOS does when a user runs agents."""
    trace: dict[str, Any] = {"trace_id": f"{user}s-trace", "run_id": f"{user}s-run"}
    trace |= {"session_id": f"{user}s-trace", "user_id": user, "name": "run", "status": "OK"}
    trace |= {"agent_id": "helper", "team_id": None, "workflow_id": None}
    trace |= {"duration_ms": 1, "total_spans": 1, "error_count": 0}
    trace |= dict.fromkeys(("start_time", "end_time", "created_at"), datetime.now(UTC))
    db.upsert_trace(Trace.from_dict(trace))
    db.create_eval_run(
        EvalRunRecord(run_id=f"{user}s-eval", eval_type=EvalType.ACCURACY, eval_data={})
    )
    db.update_eval_run_user_id(f"{user}s-eval", user)
    db.upsert_learning(
        id=f"{user}s-learning", learning_type="decision_log", content={"of": user}, user_id=user
    )


def agent_os(**options: Any) -> AgentOS:
    """Make an AgentOS with two agents, a team and a workflow, whose tools tell what they see."""
    db = database()

    def agent(name: str) -> Agent:
        model = OfflineModel(id="offline", provider="offline")
        return Agent(id=name, model=model, tools=[whoami], db=db, telemetry=False)

    crew = Team(
        id="crew",
        members=[agent("member")],
        model=OfflineModel(id="offline", provider="offline"),
        tools=[whoami],
        db=db,
        telemetry=False,
    )
    flow = Workflow(
        id="flow", steps=[Step(name="only", agent=agent("step"))], db=db, telemetry=False
    )
    return AgentOS(
        id="support",
        agents=[agent("helper"), agent("writer")],
        teams=[crew],
        workflows=[flow],
        db=db,
        telemetry=False,
        internal_service_token=INTERNAL,
        **options,
    )


@dataclass(frozen=True)
class Setup:
    """How both are configured.

    Attributes:
        middleware: parameters of agno's middleware.
        settings: parameters of `JWTSettings`.
        guard: parameters of `protect_agent_os`.
        os: parameters of `AgentOS`.
        based: whether the AgentOS is built on an application, which has a route of its own; else
            that route is added to the application of the AgentOS.
        own: whether the middleware is the one that the AgentOS itself adds.
    """

    middleware: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    guard: dict[str, Any] = field(default_factory=dict)
    os: dict[str, Any] = field(default_factory=dict)
    based: bool = False
    own: bool = False

    def _os(self) -> AgentOS:
        if not self.based:
            return agent_os(**self.os)
        base = FastAPI()
        base.get("/reports/{name}")(report)
        return agent_os(base_app=base, **self.os)

    def _finish(self, os: AgentOS, app: FastAPI) -> FastAPI:
        if not self.based:
            app.get("/reports/{name}")(report)
        app.state.database = os.db
        return app

    def control(self) -> FastAPI:
        """The application behind agno's own middleware."""
        os = self._os()
        app = self._finish(os, os.get_app())
        if self.own:
            return app
        options: dict[str, Any] = {
            "verification_keys": [SECRET],
            "algorithm": "HS256",
            "authorization": True,
            "user_isolation": True,
            **self.middleware,
        }
        app.add_middleware(JWTMiddleware, **options)
        return app

    def guarded(self) -> FastAPI:
        """The same behind the guard."""
        options = {"secret_key": SECRET, **self.settings}
        os = self._os()
        return self._finish(os, protect_agent_os(os, JWTSettings(**options), **self.guard))


async def report(name: str) -> str:
    """The endpoint of a route that agno has not."""
    return name


HAS_MCP = find_spec("fastmcp") is not None
#: Parameters of some of the setups.
MAPPINGS = {
    "GET /reports/*": ["reports:read"],
    "GET /agents": ["lists:read"],
    "GET /memory_topics": list[str](),
}
CLAIMS = {
    "user_id_claim": "uid",
    "session_id_claim": "sid",
    "scopes_claim": "permissions",
    "audience_claim": "for",
    "audience": ["a", "b"],
    "issuer": "https://issuer.example",
    "dependencies_claims": ["tenant", "plan"],
    "session_state_claims": ["theme"],
}


class Hook(BaseInterface):
    """A webhook, which checks its own requests, as Slack's does, or leaves that to AgentOS."""

    type = "hook"

    def __init__(self, prefix: str, *, checks: bool) -> None:
        self.prefix, self.tags, self.authenticates_own_requests = prefix, [], checks

    def get_router(self, use_async: bool = True, **_: Any) -> APIRouter:  # noqa: ARG002, FBT001, FBT002
        router = APIRouter(prefix=self.prefix)
        router.post("/{name}")(report)
        return router


class Sink(AuditSink):
    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)

    def told(self) -> list[tuple[str, str | None, str | None, Any]]:
        return [(it.action, it.actor, it.target, it.metadata) for it in self.events]


class Provider(AuthorizationProvider):
    """It grants carol everything, and others the agent `helper`."""

    def check(self, ctx: AuthorizationContext) -> bool:
        if ctx.principal_id == "broken":
            raise OSError("the policy cannot be reached")
        return ctx.principal_id == "carol" or ctx.resource_id == "helper"

    def accessible_resource_ids(self, ctx: AuthorizationContext) -> set[str]:
        return {"helper"} if ctx.action == "read" else set()


TRAIL = Sink()

SETUPS = {
    "plain": Setup(),
    "mcp": Setup(os={"mcp": True}),
    "several": Setup(
        based=True,
        middleware={"scope_mappings": MAPPINGS, "verification_keys": [OTHER_SECRET, SECRET]},
        guard={"scope_mappings": MAPPINGS},
        settings={"secret_key": OTHER_SECRET, "verification_keys": [SECRET]},
        os={
            "cors_allowed_origins": ["https://app.example"],
            "interfaces": [Hook("/checked", checks=True)],
        },
    ),
    "own-admin": Setup(
        middleware={"admin_scope": "root", "user_isolation": False},
        guard={"admin_scope": "root", "user_isolation": False},
    ),
    "no-authorization": Setup(
        based=True, middleware={"authorization": False}, guard={"authorization": False}
    ),
    "cookie": Setup(
        based=True,
        middleware={"token_source": "cookie", "cookie_name": "agents"},
        settings={"token_source": "cookie", "cookie_name": "agents"},
    ),
    "both": Setup(
        middleware={"token_source": "both", "token_header_key": "X-Agents"},
        settings={"token_source": "both", "token_header_key": "X-Agents"},
    ),
    "claims": Setup(middleware={**CLAIMS, "verify_audience": True}, settings=CLAIMS),
    "exclude": Setup(
        middleware={"excluded_route_paths": ["/config", "/teams*"]},
        guard={"exclude": ["/config", "/teams*"]},
    ),
    "own": Setup(
        os={
            "authorization": Authorization(
                verification_keys=[SECRET],
                algorithm="HS256",
                excluded_route_paths=["/metrics"],
                authorization_provider=Provider(),
                audit=TRAIL,
            ),
            "interfaces": [Hook("/checked", checks=True), Hook("/plain", checks=False)],
            "mcp": HAS_MCP,
            "user_isolation": True,
        },
        own=True,
    ),
    "unverified": Setup(
        based=True,
        middleware={"validate": False},
        settings={"validate": False},
        guard={"exclude": []},
    ),
}


class Client(httpx2.Client):
    """A client of an application that uvicorn serves."""

    def __init__(self, app: FastAPI, port: int) -> None:
        address = f"localhost:{port}"
        super().__init__(base_url=f"http://{address}", timeout=30, trust_env=False)
        self.app, self.address = app, address


@contextmanager
def served(app: FastAPI) -> Iterator[Client]:
    with listening(app) as port, Client(app, port) as client:
        yield client


@dataclass(frozen=True)
class Pair:
    control: Client
    guarded: Client

    def ask(self, method: str, path: str, **request: Any) -> tuple["Answer", "Answer"]:
        """Ask both the same question."""
        answers = [it.request(method, path, **request) for it in (self.control, self.guarded)]
        first, second = map(Answer.of, answers)
        return first, second


@dataclass(frozen=True)
class Answer:
    """An answer, as far as it can be compared."""

    status: int
    body: Any
    challenge: str | None = field(compare=False)
    headers: Any = field(compare=False, repr=False)

    @classmethod
    def of(cls, response: httpx2.Response) -> "Answer":
        try:
            body = _comparable(response.json())
        except ValueError:
            body = response.text
        challenge = response.headers.get("www-authenticate")
        return cls(response.status_code, body, challenge, response.headers)

    @property
    def detail(self) -> str:
        detail = self.body.get("detail") if isinstance(self.body, dict) else None
        return detail if isinstance(detail, str) else ""


#: What each AgentOS makes anew: ids, times and durations, counts of tokens.
_OWN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{8}\b|\d{4}-\d\d-\d\dT[0-9:.+Z]*"
    r"|\d+\.\d+(e-\d+)?|\b\d{9,}\b|agno_pat_\w+"
)


#: Behind the guard they are never absent, so that no form field can take their place.
_ABSENT = re.compile(r'((?:dependencies|session_state)\\*": )null')


def _comparable(value: Any) -> Any:
    return json.loads(_ABSENT.sub(r"\1{}", _OWN.sub("0", json.dumps(value))))


@contextmanager
def pair(setup: Setup) -> Iterator[Pair]:
    with served(setup.control()) as control, served(setup.guarded()) as guarded:
        yield Pair(control, guarded)


def token(key: Any = SECRET, /, **members: Any) -> str:
    """A token of alice, good for a day; `None` leaves a claim out."""
    now = time.time()
    stated = claims(now=now, **{"exp": int(now) + 86_400, **members})
    return mint({name: value for name, value in stated.items() if value is not None}, key)


def as_user(user: str | None = "alice", *scopes: str, **members: Any) -> dict[str, str]:
    """The header with a token of a user who has these scopes."""
    return {"Authorization": f"Bearer {token(sub=user, scopes=list(scopes), **members)}"}


def granting(*scopes: str) -> list[dict[str, str]]:
    return [{"scope": scope, "effect": "allow"} for scope in scopes]


def account(
    client: httpx2.Client, name: str, *scopes: str, by: dict[str, str] | None = None
) -> str:
    """A new service account's token, which an administrator makes."""
    response = client.post(
        "/service-accounts",
        headers=by or as_user("root", ADMIN),
        json={"name": name, "scopes": granting(*scopes), "allow_privileged_scopes": True},
    )
    assert 201 == response.status_code, response.text
    made: str = response.json()["token"]
    return made


BAD_REQUEST = 400
#: What the guard answers otherwise, and why.
REASONS = {
    "a token without exp": "it would never expire",
    "a token for another aud": "RFC 7519 §4.1.3",
    "a token bound to a key": "RFC 7800",
    "a token without Bearer": "RFC 6750 §2.1",
    "two Authorization headers": "RFC 6750 §2",
    "a path that no route has": "nothing is there to protect",
}


def questions(both: Pair) -> Iterator[tuple[str, Answer, Answer]]:
    """Ask both what a move must not change, and what it changes; one for each line of the table."""
    old = {"exp": int(time.time()) - 86_400}
    run, alice = {"message": "hello", "stream": "false"}, "/sessions/alices?type=agent"
    everything = ("agents:read", "agents:run", "sessions:read", "sessions:delete")
    made = {"name": "evil", "scopes": granting(ADMIN)}
    robots = [account(it, "runner", "agents:helper:run") for it in (both.control, both.guarded)]
    twice = [("Authorization", f"Bearer {token(scopes=[ADMIN])}")] * 2
    hers = as_user("alice", *everything, session_id="alices")
    both.ask("POST", "/agents/helper/runs", headers=hers, data=run)

    def ask(name: str, path: str, headers: Any, method: str = "GET", **request: Any) -> Any:
        return name, *both.ask(method, path, headers=headers, **request)

    def run_of(name: str, path: str, headers: Any) -> Any:
        return ask(name, path, headers, "POST", data=run)

    yield ask("no token", "/agents", {})
    yield ask("no token, /health", "/health", {})
    yield ask("an expired token", "/agents", as_user("alice", ADMIN, **old))
    yield ask("a token of another key", "/agents", {"Authorization": f"Bearer {token('x' * 64)}"})
    yield ask("a reserved user, sa:robot", "/agents", as_user("sa:robot", ADMIN))
    yield ask("a token without scopes", "/agents", as_user())
    yield run_of("it runs an agent", "/agents/helper/runs", as_user())
    yield ask("it makes an account", "/service-accounts", as_user(), "POST", json=made)
    yield ask("agents:helper:read lists", "/agents", as_user("bob", "agents:helper:read"))
    helper = as_user("bob", "agents:helper:run")
    yield run_of("agents:helper:run runs helper", "/agents/helper/runs", helper)
    yield run_of("agents:helper:run runs writer", "/agents/writer/runs", helper)
    yield run_of("teams:run runs a team", "/teams/crew/runs", as_user("bob", "teams:run"))
    flow = as_user("bob", "workflows:run")
    yield run_of("workflows:run runs a workflow", "/workflows/flow/runs", flow)
    bob = as_user("bob", *everything)
    yield ask("the owner reads a session", alice, hers)
    yield ask("another user reads it", alice, bob)
    yield ask("with ?user_id=alice", f"{alice}&user_id=alice", bob)
    yield ask("an administrator reads it", alice, as_user("root", ADMIN))
    for name, secret in (("an unknown account", "agno_pat_x"), ("the scheduler", INTERNAL)):
        yield ask(name, "/agents", {"Authorization": f"Bearer {secret}"})
    first, second = (
        it.post("/agents/helper/runs", headers={"Authorization": f"Bearer {secret}"}, data=run)
        for it, secret in zip((both.control, both.guarded), robots, strict=True)
    )
    yield "a service account runs helper", Answer.of(first), Answer.of(second)
    yield ask("a token without exp", "/agents", as_user("alice", ADMIN, exp=None))
    yield ask("a token for another aud", "/agents", as_user("alice", ADMIN, aud="other"))
    yield ask("a token bound to a key", "/agents", as_user("alice", ADMIN, cnf={"jkt": "x"}))
    yield ask("a token without Bearer", "/agents", {"Authorization": token(scopes=[ADMIN])})
    yield ask("two Authorization headers", "/agents", twice)
    yield ask("a path that no route has", "/nowhere", {})


def told(answer: Answer) -> Any:
    """What an answer gives away; a refusal nothing, and a run what its tools saw."""
    if answer.status >= BAD_REQUEST:
        return None
    return answer.body.get("content", answer.body) if isinstance(answer.body, dict) else answer.body


def table(asked: Iterator[tuple[str, Answer, Answer]]) -> Iterator[str]:
    """The lines that the command prints."""
    yield f"{'':31}agno's middleware  protect_agent_os"
    for name, control, guarded in asked:
        alike = control.status == guarded.status and told(control) == told(guarded)
        verdict = "same" if alike else f"differs: {REASONS.get(name, 'NOT EXPECTED')}"
        yield f"{name:31}{control.status:<19}{guarded.status:<18}{verdict}"


if __name__ == "__main__":
    logging.disable()  # agno tells of each refusal
    with pair(Setup()) as _both:
        for _line in table(questions(_both)):
            sys.stdout.write(f"{_line}\n")
