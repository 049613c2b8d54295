"""Two AgentOS with the same agents: one behind agno's own middleware, one behind the guard.

Each question goes to both, over HTTP in process. The answers have to be the same, or to differ in
a way that the question itself names.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.os import AgentOS
from agno.os.middleware.jwt import JWTMiddleware
from agno.team import Team
from agno.workflow import Step, Workflow
from fastapi import FastAPI
from fastapi.testclient import TestClient

from examples.agentos.offline import OfflineModel, whoami
from jwt_deps import JWTSettings
from jwt_deps.agentos import protect_agent_os
from tests.minting import SECRET, claims, mint

INTERNAL = "the-internal-token-of-the-scheduler"
ADMIN = "agent_os:admin"


class Database(InMemoryDb):
    """agno's database in memory, with service accounts, which that has not."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.accounts: dict[str, dict[str, Any]] = {}

    def create_service_account(self, account_data: dict[str, Any]) -> dict[str, Any]:
        self.accounts[account_data["id"]] = dict(account_data)
        return account_data

    def get_service_account(self, service_account_id: str, *_: Any, **__: Any) -> Any:
        return self.accounts.get(service_account_id)

    def get_service_account_by_token_hash(self, token_hash: str) -> Any:
        return self._first("token_hash", token_hash)

    def get_service_account_by_name(self, name: str, *_: Any, **__: Any) -> Any:
        return self._first("name", name)

    def get_service_accounts(self, *_: Any, **__: Any) -> Any:
        return list(self.accounts.values()), len(self.accounts)

    def update_service_account(self, service_account_id: str, *_: Any, **changed: Any) -> Any:
        self.accounts[service_account_id].update(changed)
        return self.accounts[service_account_id]

    def _first(self, name: str, value: str) -> dict[str, Any] | None:
        return next((it for it in self.accounts.values() if it[name] == value), None)


def agent_os(**options: Any) -> AgentOS:
    """Make an AgentOS with two agents, a team and a workflow, whose tools tell what they see."""
    database = Database()

    def agent(name: str) -> Agent:
        model = OfflineModel(id="offline", provider="offline")
        return Agent(id=name, model=model, tools=[whoami], db=database, telemetry=False)

    crew = Team(
        id="crew",
        members=[agent("member")],
        model=OfflineModel(id="offline", provider="offline"),
        tools=[whoami],
        db=database,
        telemetry=False,
    )
    flow = Workflow(
        id="flow", steps=[Step(name="only", agent=agent("step"))], db=database, telemetry=False
    )
    return AgentOS(
        id="support",
        agents=[agent("helper"), agent("writer")],
        teams=[crew],
        workflows=[flow],
        db=database,
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
        routes: whether the AgentOS is built on an application with routes of its own.
        own: whether the middleware is the one that the AgentOS itself adds.
    """

    middleware: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    guard: dict[str, Any] = field(default_factory=dict)
    os: dict[str, Any] = field(default_factory=dict)
    routes: bool = False
    own: bool = False

    def _os(self) -> AgentOS:
        options = dict(self.os)
        if self.routes:
            options["base_app"] = base = FastAPI()

            @base.get("/reports/{name}")
            async def report(name: str) -> str:
                return name

        return agent_os(**options)

    def control(self) -> FastAPI:
        """The application behind agno's own middleware."""
        app = self._os().get_app()
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
        return protect_agent_os(self._os(), JWTSettings(**options), **self.guard)


@dataclass(frozen=True)
class Pair:
    """Clients of both."""

    control: TestClient
    guarded: TestClient

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
_ABSENT = re.compile(r'(dependencies\\*": )null')


def _comparable(value: Any) -> Any:
    return json.loads(_ABSENT.sub(r"\1{}", _OWN.sub("0", json.dumps(value))))


@contextmanager
def pair(setup: Setup) -> Iterator[Pair]:
    """Serve both."""
    with (
        TestClient(setup.control(), raise_server_exceptions=False) as control,
        TestClient(setup.guarded(), raise_server_exceptions=False) as guarded,
    ):
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


def account(client: TestClient, name: str, *scopes: str) -> str:
    """A new service account's token, which an administrator makes."""
    response = client.post(
        "/service-accounts",
        headers=as_user("root", ADMIN),
        json={"name": name, "scopes": granting(*scopes), "allow_privileged_scopes": True},
    )
    assert 201 == response.status_code, response.text
    made: str = response.json()["token"]
    return made
