"""What agno's own middleware answers, `protect_agent_os` answers, or something stricter.

A case that is `stricter` says why. Nothing that the middleware refuses is let in.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agno.os.scopes import get_default_scope_mappings
from websockets.sync.client import ClientConnection, connect

from tests.minting import OTHER_SECRET, SECRET, b64, claims, compact, mint

from .side_by_side import (
    ADMIN,
    INTERNAL,
    Answer,
    Client,
    Pair,
    account,
    as_user,
    granting,
    questions,
    store_data_of,
    table,
    token,
)

DAY = 86_400


@pytest.fixture(scope="module", params=[False, True], ids=["own-app", "base_app"])
def wired(
    request: pytest.FixtureRequest, servers: Callable[[str, bool], Pair]
) -> Callable[[str], Pair]:
    """The clients of a setup, once in each wiring."""
    return lambda name: servers(name, request.param)


@pytest.fixture(scope="module")
def plainly_wired(wired: Callable[[str], Pair]) -> Pair:
    """The same in each wiring: on an application of one's own agno answers in another place."""
    return wired("plain")


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def same(answers: tuple[Answer, Answer]) -> Answer:
    """The answer that both gave."""
    control, guarded = answers
    assert control == guarded
    return guarded


# Tokens


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param(bearer(token(exp=time.time() - DAY)), id="expired"),
        pytest.param(as_user("alice", ADMIN), id="good"),
        pytest.param({"Authorization": f"bearer {token(scopes=[ADMIN])}"}, id="lower-case-scheme"),
        pytest.param(as_user("sa:robot", ADMIN), id="subject-of-a-service-account"),
        pytest.param(as_user("__scheduler__", ADMIN), id="subject-of-the-scheduler"),
        pytest.param(as_user("__oauth__:client", ADMIN), id="subject-of-a-client"),
        pytest.param(as_user(None, ADMIN), id="no-subject"),
        pytest.param(as_user("alice", ADMIN, aud="support"), id="audience-is-the-id"),
        pytest.param(as_user("alice", ADMIN, aud=["x", "support"]), id="audience-has-the-id"),
    ],
)
def test_token_is_answered_as_by_the_middleware(
    plainly_wired: Pair, headers: dict[str, str]
) -> None:
    """With the same status and the same body."""
    same(plainly_wired.ask("GET", "/agents", headers=headers))


def test_leeway_is_that_of_the_middleware(plain: Pair) -> None:
    """Ten seconds, fewer than these."""
    for seconds, status in ((2, 200), (60, 401)):
        headers = bearer(token(exp=int(time.time()) - seconds, scopes=[ADMIN]))
        assert status == same(plain.ask("GET", "/agents", headers=headers)).status


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(bearer("nonsense"), id="no-token"),
        pytest.param(bearer(token(OTHER_SECRET)), id="other-key"),
        pytest.param(bearer(token(nbf=time.time() + DAY)), id="not-yet"),
        pytest.param(bearer(token(iat=time.time() + DAY)), id="issued-in-the-future"),
        pytest.param(bearer(mint(claims(now=time.time()), SECRET, "HS384")), id="other-algorithm"),
        pytest.param(bearer(compact(b'{"alg":"none"}', b'{"sub":"a"}', b"")), id="alg-none"),
        pytest.param(bearer(token()[:-4]), id="cut-off"),
        pytest.param(bearer(f"{token()}.{b64(b'x')}"), id="four-parts"),
        pytest.param(bearer(token(sub=7)), id="numeric-subject"),
        pytest.param({"Authorization": "Basic YWxpY2U6c2VjcmV0"}, id="other-scheme"),
    ],
)
def test_bad_token_is_401_with_words_of_our_own(plain: Pair, headers: dict[str, str]) -> None:
    """The middleware's are those of PyJWT."""
    control, guarded = plain.ask("GET", "/agents", headers=headers)

    assert (401, 401) == (control.status, guarded.status)
    assert guarded.detail.startswith(("Invalid token", "Authorization header missing"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # RFC 9068 §2.2: a token that never ends cannot be lost safely; `require_exp=False`.
        pytest.param(as_user("alice", ADMIN, exp=None), 401, id="without-expiry"),
        # RFC 6750 §2.1: credentials have a scheme; `token_header_scheme=""` for other headers.
        pytest.param({"Authorization": token(scopes=[ADMIN])}, 401, id="without-scheme"),
        # RFC 7519 §4.1.3: a token that is meant for others must be refused.
        pytest.param(as_user("alice", ADMIN, aud="other"), 401, id="for-another-service"),
        # RFC 7800: only the holder of the key may use it.
        pytest.param(as_user("alice", ADMIN, cnf={"jkt": "x"}), 401, id="bound-to-a-key"),
        # RFC 7515 §4.1.11: what is critical has to be understood.
        pytest.param(
            bearer(
                mint(
                    claims(now=time.time(), exp=time.time() + DAY, scopes=[ADMIN]),
                    header={"typ": "vc+jwt"},
                )
            ),
            401,
            id="of-another-type",
        ),
    ],
)
def test_token_that_the_middleware_takes_is_refused(
    plainly_wired: Pair, headers: dict[str, str], status: int
) -> None:
    """Stricter, each for a rule of an RFC."""
    control, guarded = plainly_wired.ask("GET", "/agents", headers=headers)

    assert (200, status) == (control.status, guarded.status)


def test_two_credentials_are_no_request(plain: Pair) -> None:
    """Stricter: RFC 6750 §2 wants one; the middleware takes the first."""
    headers = [("Authorization", f"Bearer {token(scopes=[ADMIN])}")] * 2

    control, guarded = plain.ask("GET", "/agents", headers=headers)

    assert (200, 400) == (control.status, guarded.status)


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("nonsense"), bearer("agno_pat_unknown"), as_user("sa:robot", ADMIN)],
    ids=["nothing", "nonsense", "service-account", "reserved"],
)
def test_401_has_a_challenge(plainly_wired: Pair, headers: dict[str, str]) -> None:
    """RFC 6750 §3: the middleware sends none, and AgentOS's own handler would drop it."""
    _, guarded = plainly_wired.ask("GET", "/agents", headers=headers)

    assert 401 == guarded.status
    assert (guarded.challenge or "").startswith("Bearer ")


@pytest.mark.parametrize(
    ("cookies", "headers"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"agents": token(scopes=[ADMIN])}, {}, id="cookie"),
        pytest.param({}, as_user("alice", ADMIN), id="header"),
        pytest.param({"access_token": token(scopes=[ADMIN])}, {}, id="other-cookie"),
    ],
)
def test_tokens_in_a_cookie(
    served: Callable[[str], Pair], cookies: dict[str, str], headers: dict[str, str]
) -> None:
    """`token_source="cookie"` reads nothing else."""
    headers = {**headers, "Cookie": "; ".join(f"{name}={it}" for name, it in cookies.items())}

    same(served("cookie").ask("GET", "/agents", headers=headers))


@pytest.mark.parametrize(
    ("origin", "status"),
    [({}, 200), ({"Sec-Fetch-Site": "same-origin"}, 200), ({"Sec-Fetch-Site": "cross-site"}, 403)],
    ids=["no-browser", "same-origin", "cross-site"],
)
def test_cookie_from_another_site_changes_nothing(
    served: Callable[[str], Pair], origin: dict[str, str], status: int
) -> None:
    """Stricter: a page of another site could run agents in its reader's name."""
    headers = {"Cookie": f"agents={token(scopes=[ADMIN])}", **origin}
    form = {"message": "hello", "stream": "false"}

    control, guarded = served("cookie").ask(
        "POST", "/agents/helper/runs", headers=headers, data=form
    )

    assert (200, status) == (control.status, guarded.status)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"X-Agents": f"Bearer {token(scopes=[ADMIN])}"}, id="header"),
        pytest.param({"Cookie": f"access_token={token(scopes=[ADMIN])}"}, id="cookie"),
        pytest.param(
            {
                "X-Agents": f"Bearer {token(scopes=[])}",
                "Cookie": f"access_token={token(scopes=[ADMIN])}",
            },
            id="header-first",
        ),
        pytest.param({"Authorization": f"Bearer {token(scopes=[ADMIN])}"}, id="other-header"),
    ],
)
def test_tokens_in_a_header_or_a_cookie(
    served: Callable[[str], Pair], headers: dict[str, str]
) -> None:
    """`token_source="both"`, with a header of another name."""
    control, guarded = served("both").ask("POST", "/databases/all/migrate", headers=headers)

    assert control.status == guarded.status


@pytest.mark.parametrize("key", [SECRET, OTHER_SECRET, "x" * 40])
def test_several_keys(served: Callable[[str], Pair], key: str) -> None:
    control, guarded = served("several").ask(
        "GET", "/agents", headers=bearer(token(key, scopes=[ADMIN]))
    )

    assert control.status == guarded.status


# Scopes


@pytest.mark.parametrize("path", ["/agents", "/teams", "/workflows", "/config"])
@pytest.mark.parametrize(
    "scopes",
    [
        pytest.param(("agents:helper:read", "config:read"), id="one-agent"),
        pytest.param(("agents:helper:run", "config:read"), id="run-alone"),
        pytest.param(("agents:*:read", "teams:crew:read", "config:read"), id="all-agents"),
        pytest.param(("workflows:flow:read", "workflows:x:read", "config:read"), id="workflow"),
        pytest.param(("config:read",), id="none"),
        pytest.param((ADMIN,), id="admin"),
    ],
)
def test_lists_show_what_is_granted(plain: Pair, path: str, scopes: tuple[str, ...]) -> None:
    same(plain.ask("GET", path, headers=as_user("alice", *scopes)))


RUNS = {
    "/agents/helper/runs": "agents:helper:run",
    "/agents/writer/runs": "agents:writer:run",
    "/teams/crew/runs": "teams:crew:run",
    "/workflows/flow/runs": "workflows:flow:run",
}


@pytest.mark.parametrize("path", RUNS)
@pytest.mark.parametrize("scope", [*RUNS.values(), "agents:run", "teams:*:run", ADMIN, ""])
def test_runs_need_the_scope_of_their_resource(plain: Pair, path: str, scope: str) -> None:
    """One agent's is not another's."""
    form = {"message": "hello", "stream": "false"}

    control, guarded = plain.ask("POST", path, headers=as_user("alice", scope), data=form)

    assert (control.status, control.detail) == (guarded.status, guarded.detail)
    assert (200 == guarded.status) == (
        scope in {RUNS[path], ADMIN} or scope.replace(":*", "") == f"{path.split('/')[1]}:run"
    )


@pytest.mark.parametrize(
    ("path", "scopes"),
    [
        ("/reports/may", ("reports:read",)),
        ("/reports/may", ("agents:read",)),
        ("/agents", ("lists:read",)),
        ("/agents", ("agents:read",)),
        ("/memory_topics", ()),
        ("/teams", ("teams:read",)),
    ],
)
def test_scope_mappings_of_ones_own(
    served: Callable[[str], Pair], path: str, scopes: tuple[str, ...]
) -> None:
    """For routes of the application too; an empty list asks for none."""
    same(served("several").ask("GET", path, headers=as_user("alice", *scopes)))


def test_route_that_is_not_mapped_needs_a_token_alone(plainly_wired: Pair) -> None:
    assert 200 == same(plainly_wired.ask("GET", "/reports/may", headers=as_user())).status
    assert 401 == same(plainly_wired.ask("GET", "/reports/may")).status


@pytest.mark.parametrize("scope", ["root", ADMIN])
@pytest.mark.parametrize("path", ["/agents", "/sessions", "/config", "/memories"])
def test_admin_scope_of_ones_own(served: Callable[[str], Pair], scope: str, path: str) -> None:
    """The default one is a scope like any other then."""
    control, guarded = served("own-admin").ask("GET", path, headers=as_user("alice", scope))

    assert control.status == guarded.status
    assert (scope == "root") == (200 == guarded.status)


@pytest.mark.parametrize("path", ["/agents", "/config", "/sessions"])
def test_without_authorization_a_token_is_enough(served: Callable[[str], Pair], path: str) -> None:
    assert 200 == same(served("no-authorization").ask("GET", path, headers=as_user())).status


@pytest.mark.parametrize(
    "claimed", [["agents:read"], "agents:read", {"agents": "read"}, 7, None, []], ids=repr
)
def test_scopes_of_other_shapes(plain: Pair, claimed: object) -> None:
    """A list or a text; anything else grants nothing."""
    same(plain.ask("GET", "/agents", headers=bearer(token(scopes=claimed))))


def test_text_of_several_scopes_is_split_at_spaces(plain: Pair) -> None:
    """RFC 8693 §4.2; the middleware takes it for one scope, which nothing asks for."""
    control, guarded = plain.ask(
        "POST",
        "/agents/helper/runs",
        headers=bearer(token(scopes="agents:read agents:run")),
        data={"message": "hello", "stream": "false"},
    )

    assert (403, 200) == (control.status, guarded.status)


# Open routes


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")  # two of agno's routes have one
@pytest.mark.parametrize("headers", [{}, bearer("nonsense")], ids=["nothing", "nonsense"])
@pytest.mark.parametrize("path", ["/", "/health", "/info", "/docs", "/openapi.json", "/redoc"])
def test_open_routes(plain: Pair, path: str, headers: dict[str, str]) -> None:
    control, guarded = plain.ask("GET", path, headers=headers)

    assert (200, 200) == (control.status, guarded.status)


def test_info_says_how_users_are_known(plain: Pair) -> None:
    """By a token, and that their data are isolated."""
    _, guarded = plain.ask("GET", "/info")

    assert ("jwt", True) == (guarded.body["auth_mode"], guarded.body["user_isolation"])


@pytest.mark.parametrize("path", ["/config", "/teams", "/teams/crew", "/agents", "/health"])
def test_excluded_paths(wired: Callable[[str], Pair], path: str) -> None:
    """Patterns that are given replace the default ones."""
    control, guarded = wired("exclude").ask("GET", path)

    assert control.status == guarded.status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/checked/events", 200),
        ("POST", "/plain/events", 401),
        ("GET", "/metrics", 200),
        ("GET", "/health", 200),
        ("GET", "/agents", 401),
    ],
)
def test_what_agent_os_itself_excludes(
    wired: Callable[[str], Pair], method: str, path: str, status: int
) -> None:
    """Interfaces that check their own requests, and what its `Authorization` names."""
    control, guarded = wired("own").ask(method, path)

    assert (status, status) == (control.status, guarded.status)


def test_webhook_where_the_middleware_was_added(served: Callable[[str], Pair]) -> None:
    """It checks its own requests, which have no token: here they arrive."""
    control, guarded = served("several").ask("POST", "/checked/events")

    assert (401, 200) == (control.status, guarded.status)


def test_line_break_at_the_end_of_a_path(plain: Pair) -> None:
    """Stricter: the middleware asks for no scopes, and the route without it is served."""
    control, guarded = plain.ask("GET", "/config%0A", headers=as_user())

    assert (200, 404) == (control.status, guarded.status)


def test_path_that_no_route_has_is_not_found(plainly_wired: Pair) -> None:
    """The middleware answers 401 before it knows: there is nothing to protect."""
    control, guarded = plainly_wired.ask("GET", "/nothing")

    assert (401, 404) == (control.status, guarded.status)


@pytest.mark.parametrize("headers", [{}, bearer("nonsense")], ids=["nothing", "nonsense"])
def test_refusal_can_be_read_by_the_pages_that_may(
    served: Callable[[str], Pair], headers: dict[str, str]
) -> None:
    """CORS holds for refusals, too."""
    for origin in ("https://app.example", "https://evil.example"):
        control, guarded = served("several").ask(
            "GET", "/agents", headers={**headers, "Origin": origin}
        )
        name = "access-control-allow-origin"
        assert 401 == guarded.status
        assert control.headers.get(name) == guarded.headers.get(name)


def test_preflight_needs_no_token(served: Callable[[str], Pair]) -> None:
    """A browser sends it without."""
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}

    control, guarded = served("several").ask("OPTIONS", "/agents", headers=headers)

    assert (200, 200) == (control.status, guarded.status)


# Runs

ALL = [ADMIN.replace("agent_os:admin", it) for it in ("agents:run", "teams:run", "workflows:run")]


def seen(answer: Answer) -> dict[str, Any]:
    """What the tool of a run saw."""
    content: str = answer.body["content"]
    found: dict[str, Any] = json.loads(content.removeprefix("The tool says: "))
    return found


@pytest.mark.parametrize("path", RUNS)
def test_run_has_the_user_the_session_and_the_state_of_the_token(
    served: Callable[[str], Pair], path: str
) -> None:
    """Whatever the form, the query and the headers say."""
    told = {
        "uid": "alice",
        "sid": f"session-{path}",
        "permissions": ALL,
        "for": ["x", "b"],
        "iss": "https://issuer.example",
        "tenant": {"id": 1},
        "plan": "pro",
        "theme": "dark",
    }
    form = {
        "message": "hello",
        "stream": "false",
        "user_id": "bob",
        "dependencies": json.dumps({"tenant": "evil", "more": 1}),
        "session_state": json.dumps({"theme": "evil"}),
    }
    control, guarded = served("claims").ask(
        "POST",
        f"{path}?user_id=bob",
        headers={**bearer(token(sub=None, **told)), "X-User-Id": "bob"},
        data=form,
    )

    assert seen(control) == seen(guarded)
    assert "alice" == seen(guarded)["user_id"]
    assert {"tenant": {"id": 1}, "plan": "pro"} == seen(guarded)["dependencies"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "https://other.example"),
        ("iss", None),
        ("for", "c"),
        ("for", None),
        ("for", ["a"]),
        ("uid", "sa:robot"),
        ("permissions", []),
        ("permissions", ["agents:helper:read"]),
        ("permissions", [ADMIN]),
        ("scopes", [ADMIN]),
    ],
)
def test_claims_of_other_names(served: Callable[[str], Pair], name: str, value: object) -> None:
    """Issuer, audience, user and scopes are where the settings say."""
    told: dict[str, Any] = {
        "uid": "alice",
        "permissions": ["agents:read"],
        "for": "a",
        "iss": "https://issuer.example",
    }
    control, guarded = served("claims").ask(
        "GET", "/agents", headers=bearer(token(sub="sa:ignored", **{**told, name: value}))
    )

    assert control.status == guarded.status
    if 401 != control.status:
        assert control.body == guarded.body


@pytest.mark.parametrize("path", RUNS)
def test_form_cannot_replace_a_claim_that_is_absent(plainly_wired: Pair, path: str) -> None:
    """Stricter: the middleware leaves them out, and AgentOS believes the form."""
    control, guarded = plainly_wired.ask(
        "POST",
        path,
        headers=as_user("alice", *ALL),
        data={"message": "hello", "stream": "false", "dependencies": '{"tenant": "evil"}'},
    )

    assert {"tenant": "evil"} == seen(control)["dependencies"]
    assert not seen(guarded)["dependencies"]


def test_session_of_the_form_where_the_token_names_none(plain: Pair) -> None:
    form = {"message": "hello", "stream": "false", "session_id": "of-the-form"}

    answer = same(
        plain.ask("POST", "/agents/helper/runs", headers=as_user("alice", *ALL), data=form)
    )

    assert "of-the-form" == answer.body["session_id"]


# Isolation


@pytest.fixture(scope="module")
def with_data(served: Callable[[str], Pair]) -> Pair:
    """The clients of both, where alice has sessions, a memory and the data of her runs."""
    both = served("several")
    for client in (both.control, both.guarded):
        store_data_of("alice", client.app.state.database)
    for path in RUNS:
        kind = path.split("/")[1]
        both.ask(
            "POST",
            path,
            headers=as_user("alice", *ALL, session_id=f"alices-{kind}"),
            data={"message": "hello", "stream": "false"},
        )
    both.ask(
        "POST",
        "/memories",
        headers=as_user("alice", "memories:write"),
        json={"memory": "alice likes tea", "topics": ["tea"], "user_id": "alice"},
    )
    return both


FAMILIES = ("sessions", "memories", "traces", "evals", "learnings", "knowledge", "metrics")
EVERYTHING = [f"{family}:{act}" for family in FAMILIES for act in ("read", "write", "delete")]
EVERYTHING += [f"{family}:{act}" for family in ("agents", "teams") for act in ("read", "run")]
EVERYTHING += ["workflows:read", "workflows:run"]


@pytest.mark.parametrize(
    ("user", "query"),
    [
        ("alice", ""),
        ("alice", "user_id=bob"),
        ("bob", ""),
        ("bob", "user_id=alice"),
        ("bob", "user_id="),
        (None, "user_id=alice"),
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/sessions?type=agent",
        "/sessions?type=team",
        "/sessions?type=workflow",
        "/sessions/alices-agents?type=agent",
        "/sessions/alices-agents/runs?type=agent",
        "/sessions/alices-teams?type=team",
        "/sessions/alices-workflows?type=workflow",
        "/memories?limit=20",
        "/memory_topics?limit=20",
        "/user_memory_stats?limit=20",
        "/traces?limit=20",
        "/trace_session_stats?limit=20",
        "/traces/alices-trace?limit=20",
        "/eval-runs?limit=20",
        "/eval-runs/alices-eval?limit=20",
        "/learnings?limit=20",
        "/learnings/alices-learning?limit=20",
    ],
)
def test_data_are_their_users(with_data: Pair, path: str, query: str, user: str | None) -> None:
    """Whatever `user_id` says."""
    control, guarded = with_data.ask(
        "GET", f"{path}&{query}", headers={**as_user(user, *EVERYTHING), "X-User-Id": "alice"}
    )

    assert control.status == guarded.status
    assert control.body == guarded.body
    if user == "alice" and not query:
        assert (200, True) == (
            guarded.status,
            re.search("alice|tea", str(guarded.body)) is not None,
        )
    elif 200 == guarded.status and user != "alice":
        assert "alices-" not in str(guarded.body)
        assert "alice likes tea" not in str(guarded.body)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/sessions/alices-agents/rename?type=agent", {"session_name": "bobs"}),
        ("PATCH", "/sessions/alices-agents?type=agent", {"session_name": "bobs"}),
        ("DELETE", "/sessions/alices-agents?type=agent", None),
        ("DELETE", "/sessions", {"session_ids": ["alices-agents"], "session_types": ["agent"]}),
        ("POST", "/memories", {"memory": "planted", "topics": [], "user_id": "alice"}),
        (
            "POST",
            "/sessions?type=agent",
            {"session_id": "planted", "user_id": "alice", "agent_id": "helper"},
        ),
        ("PATCH", "/eval-runs/alices-eval", {"name": "bobs"}),
        ("DELETE", "/eval-runs", {"eval_run_ids": ["alices-eval"]}),
        ("PATCH", "/learnings/alices-learning", {"content": {"of": "bobs"}}),
        ("DELETE", "/learnings/alices-learning", None),
        (
            "POST",
            "/learnings",
            {"learning_type": "decision_log", "content": {"of": "planted"}, "user_id": "alice"},
        ),
    ],
)
def test_data_of_others_cannot_be_changed(
    with_data: Pair, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """Nor under another's name be written."""
    control, guarded = with_data.ask(method, path, headers=as_user("bob", *EVERYTHING), json=body)

    assert (control.status, control.detail) == (guarded.status, guarded.detail)
    for client in (with_data.control, with_data.guarded):
        as_alice = as_user("alice", *EVERYTHING)
        for hers in (
            "/sessions/alices-agents?type=agent",
            "/eval-runs/alices-eval",
            "/learnings/alices-learning",
        ):
            mine = client.get(hers, headers=as_alice)
            assert (200, False) == (mine.status_code, "bobs" in mine.text)
        for listed in ("/memories", "/sessions?type=agent", "/learnings"):
            assert "planted" not in client.get(listed, headers=as_alice).text


@pytest.mark.parametrize("path", RUNS)
def test_run_in_the_session_of_another_user(with_data: Pair, path: str) -> None:
    """With the id from the form, or from a token."""
    session = f"alices-{path.split('/')[1]}"
    form = {"message": "hello", "stream": "false", "session_id": session, "user_id": "alice"}
    headers = as_user("bob", *EVERYTHING)

    control, guarded = with_data.ask("POST", path, headers=headers, data=form)

    assert (control.status, control.detail) == (guarded.status, guarded.detail)
    assert 200 != guarded.status


def test_admin_sees_the_data_of_all(with_data: Pair) -> None:
    """The admin scope is above isolation."""
    answer = same(with_data.ask("GET", "/sessions?type=team", headers=as_user("root", ADMIN)))

    assert ["alices-teams"] == [it["session_id"] for it in answer.body["data"]]


def test_without_isolation_sessions_are_everybodys(served: Callable[[str], Pair]) -> None:
    """`user_isolation=False`, which is agno's default."""
    both = served("own-admin")
    form = {"message": "hello", "stream": "false"}
    both.ask(
        "POST",
        "/agents/helper/runs",
        headers=as_user("alice", "agents:run", session_id="open"),
        data=form,
    )

    answer = same(both.ask("GET", "/sessions?type=agent", headers=as_user("bob", "sessions:read")))

    assert ["open"] == [it["session_id"] for it in answer.body["data"]]


# Credentials that are no JWT


@pytest.fixture(scope="module")
def accounts(plain: Pair) -> tuple[str, str]:
    """A service account that may run `helper`, in each."""
    scopes = ("agents:helper:run", "agents:helper:read", "sessions:read")
    return account(plain.control, "robot", *scopes), account(plain.guarded, "robot", *scopes)


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/agents", None),
        ("GET", "/config", None),
        ("GET", "/health", None),
        ("GET", "/sessions?type=agent", None),
        ("POST", "/service-accounts", None),
        ("POST", "/agents/writer/runs", {"message": "hello", "stream": "false"}),
        (
            "POST",
            "/agents/helper/runs",
            {"message": "hello", "stream": "false", "dependencies": '{"a": 1}'},
        ),
    ],
)
def test_service_account(
    plain: Pair, accounts: tuple[str, str], method: str, path: str, form: dict[str, str] | None
) -> None:
    """Agno's own verifier decides, and its scopes are those that it was made with."""
    control, guarded = (
        Answer.of(client.request(method, path, headers=bearer(secret), data=form))
        for client, secret in zip((plain.control, plain.guarded), accounts, strict=True)
    )

    assert (control.status, control.detail) == (guarded.status, guarded.detail)
    if "helper" in path:
        assert seen(control) == seen(guarded)
        assert ("sa:robot", {"a": 1}) == (seen(guarded)["user_id"], seen(guarded)["dependencies"])


def test_service_account_at_an_excluded_path(wired: Callable[[str], Pair]) -> None:
    """It is open to all."""
    both = wired("exclude")
    for client in (both.control, both.guarded):
        headers = bearer(account(client, "robot", "teams:read"))
        assert 200 == client.get("/teams", headers=headers).status_code


@pytest.mark.parametrize(
    "secret", ["agno_pat_unknown", "agno_pat_", f"{INTERNAL}x"], ids=["unknown", "empty", "nearly"]
)
def test_secret_that_is_not_known(plain: Pair, secret: str) -> None:
    control, guarded = plain.ask("GET", "/agents", headers=bearer(secret))

    assert (401, 401) == (control.status, guarded.status)


@pytest.mark.parametrize("scope", ["agents:run", ADMIN, "service_accounts:write"])
@pytest.mark.parametrize("held", ["", "service_accounts:write"])
def test_service_account_has_no_more_than_who_makes_it(plain: Pair, scope: str, held: str) -> None:
    """A token without scopes makes none: an absent list would be root."""
    control, guarded = plain.ask(
        "POST",
        "/service-accounts",
        headers=as_user("alice", *([held] if held else [])),
        json={"name": "sneaky", "scopes": granting(scope), "allow_privileged_scopes": True},
    )

    assert (control.status, control.detail) == (guarded.status, guarded.detail)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/agents", {}),
        ("GET", "/schedules", {}),
        ("POST", "/schedules", {"json": {"name": "x"}}),
        ("DELETE", "/sessions/x?type=agent", {}),
        ("POST", "/agents/helper/runs", {"data": {"message": "hello", "stream": "false"}}),
    ],
)
def test_internal_token_of_the_scheduler(
    plain: Pair, method: str, path: str, body: dict[str, Any]
) -> None:
    control, guarded = plain.ask(method, path, headers=bearer(INTERNAL), **body)

    assert (control.status, control.detail) == (guarded.status, guarded.detail)


def test_owner_of_a_schedule_is_checked_by_agno(plain: Pair) -> None:
    """The header says whose run it is, for the scheduler's token alone."""
    form = {"message": "hello", "stream": "false", "user_id": "alice"}
    for headers in (bearer(INTERNAL), as_user("bob", "agents:run")):
        control, guarded = plain.ask(
            "POST",
            "/agents/helper/runs",
            headers={**headers, "X-Agno-Schedule-Owner": "alice"},
            data=form,
        )
        assert seen(control) == seen(guarded)


# Without validation


@pytest.mark.parametrize("path", ["/agents", "/config", "/sessions?type=agent"])
def test_unverified_claims_are_not_believed(served: Callable[[str], Pair], path: str) -> None:
    """Stricter: the middleware decodes without a signature, and believes what it finds."""
    control, guarded = served("unverified").ask(
        "GET", path, headers=bearer(token(OTHER_SECRET, scopes=[ADMIN]))
    )

    assert (200, 403) == (control.status, guarded.status)


def test_verified_claims_are_injected_without_validation(served: Callable[[str], Pair]) -> None:
    assert (
        200 == same(served("unverified").ask("GET", "/agents", headers=as_user("a", ADMIN))).status
    )


def test_the_command_prints_these_answers(servers: Callable[[str, bool], Pair]) -> None:
    """The most important questions, asked of both."""
    printed = "\n".join(table(questions(servers("plain", False))))  # noqa: FBT003

    assert Path(__file__).with_name("side_by_side.txt").read_text() == f"{printed}\n"


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("nonsense"), bearer(token(exp=1)), bearer(token(OTHER_SECRET))],
    ids=["nothing", "nonsense", "expired", "other-key"],
)
def test_an_anonymous_request_cannot_name_its_user(
    served: Callable[[str], Pair], headers: dict[str, str]
) -> None:
    """Neither by a form field nor by the query: without scopes AgentOS refuses it."""
    client = served("unverified").guarded
    form = {"message": "hello", "stream": "false", "user_id": "alice", "session_id": "hers"}
    as_alice = as_user("alice", "agents:run", "sessions:read", session_id="hers")
    client.post("/agents/helper/runs", headers=as_alice, data=form)
    session = "/sessions/hers?type=agent&user_id=alice"

    answers = [
        client.get("/agents", headers=headers),
        client.post("/agents/helper/runs", headers=headers, data=form),
        client.get(session, headers=headers),
        client.delete(session, headers=headers),
    ]

    assert [403] * 4 == [it.status_code for it in answers]
    assert 200 == client.get("/sessions/hers?type=agent", headers=as_alice).status_code


# The WebSocket


class Socket:
    """A connection to the WebSocket of an AgentOS."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.greeting = json.loads(self._heard())

    def _heard(self) -> str:
        return str(self._connection.recv(timeout=30))

    def say(self, **message: Any) -> dict[str, Any]:
        """Send a message, and return the answer."""
        self._connection.send(json.dumps(message))
        answer: dict[str, Any] = json.loads(self._heard())
        return answer

    def log_in(self, secret: str) -> dict[str, Any]:
        """Authenticate, and return the answer that follows the manager's own."""
        answer = self.say(action="authenticate", token=secret)
        if "user_id" not in answer and answer["event"] == "authenticated":
            return json.loads(self._heard())  # type: ignore[no-any-return]
        return answer

    def run(self, **message: Any) -> str:
        """Start the workflow, and return all that is said until it has ended."""
        self._connection.send(
            json.dumps({"action": "start-workflow", "workflow_id": "flow", **message})
        )
        said = ""
        while not ("Insufficient" in said or "WorkflowCompleted" in said):
            said += self._heard()
        return said


@contextmanager
def talking(client: Client) -> Iterator[Socket]:
    with connect(f"ws://{client.address}/workflows/ws") as connection:
        yield Socket(connection)


def both_sockets(pair: Pair, ask: Callable[[Socket], Any]) -> tuple[Any, Any]:
    """What a conversation with each gives."""
    found = []
    for client in (pair.control, pair.guarded):
        with talking(client) as socket:
            found.append(ask(socket))
    first, second = found
    return first, second


def test_socket_asks_for_authentication(plain: Pair) -> None:
    control, guarded = both_sockets(
        plain,
        lambda socket: (
            socket.greeting["requires_auth"],
            socket.say(action="ping"),
            socket.say(action="start-workflow", workflow_id="flow", user_id="bob"),
            socket.say(action="reconnect", run_id="x", user_id="bob"),
            socket.say(action="continue-workflow", run_id="x", user_id="bob"),
        ),
    )

    assert control == guarded
    assert (True, "auth_required") == (guarded[0], guarded[1]["event"])


@pytest.mark.parametrize(
    ("secret", "event"),
    [
        pytest.param(token(), "authenticated", id="good"),
        pytest.param(token(sub="sa:robot"), "auth_error", id="reserved"),
        pytest.param(token(exp=time.time() - DAY), "auth_error", id="expired"),
        pytest.param(token(OTHER_SECRET), "auth_error", id="other-key"),
        pytest.param("nonsense", "auth_error", id="nonsense"),
        pytest.param("", "auth_error", id="empty"),
        pytest.param("agno_pat_unknown", "auth_error", id="unknown-account"),
    ],
)
def test_token_of_a_message(plain: Pair, secret: str, event: str) -> None:
    """It is verified as one of a request is."""
    control, guarded = both_sockets(plain, lambda socket: socket.log_in(secret))

    assert (event, event) == (control["event"], guarded["event"])
    assert control.get("user_id") == guarded.get("user_id")


def test_token_for_another_service_is_refused_by_the_socket(plain: Pair) -> None:
    _, guarded = both_sockets(plain, lambda socket: socket.log_in(token(aud="other")))

    assert "auth_error" == guarded["event"]


@pytest.mark.parametrize(
    ("scopes", "runs"),
    [((), False), (("workflows:x:run",), False), (("workflows:flow:run",), True), ((ADMIN,), True)],
)
def test_socket_asks_for_scopes(
    plainly_wired: Pair, scopes: tuple[str, ...], *, runs: bool
) -> None:
    def ask(socket: Socket) -> str:
        socket.log_in(token(scopes=list(scopes)))
        return socket.run(message="hello")

    control, guarded = both_sockets(plainly_wired, ask)

    assert [runs, runs] == ["WorkflowCompleted" in it for it in (control, guarded)]


def test_socket_knows_the_user_of_the_token_alone(plain: Pair) -> None:
    def ask(socket: Socket) -> str:
        socket.log_in(token(scopes=["workflows:run"], sub="carol"))
        return socket.run(message="hello", user_id="mallory", session_id="of-carol")

    for said in both_sockets(plain, ask):
        assert "carol" in said
        assert "mallory" not in said

    both = plain.ask("GET", "/sessions?type=workflow", headers=as_user("mallory", "sessions:read"))
    assert [[], []] == [it.body["data"] for it in both]


def test_service_account_at_the_socket(plain: Pair, accounts: tuple[str, str]) -> None:
    events = []
    for client, secret in zip((plain.control, plain.guarded), accounts, strict=True):
        with talking(client) as socket:
            events.append(socket.log_in(secret).get("user_id"))

    assert ["sa:robot", "sa:robot"] == events


def test_token_of_one_message_is_not_good_for_another(plain: Pair) -> None:
    """Each is verified for itself."""
    with talking(plain.guarded) as socket:
        socket.log_in(token())
        assert "auth_error" == socket.log_in(token(OTHER_SECRET))["event"]


# Every route

CLAIMED = {
    "nothing": (),
    "admin": (ADMIN,),
    "another-family": ("other:read", "other:write", "other:run", "other:delete"),
    "one-resource": ("agents:x:run", "teams:x:run", "workflows:x:run", "agents:x:read"),
    "every-resource": ("agents:*:run", "teams:*:run", "workflows:*:run", "agents:*:read"),
    "reading": tuple(
        f"{family}:read"
        for family in ("agents", "teams", "workflows", "sessions", "memories", "config", "traces")
    ),
    "system": ("system:read", "system:write"),
    "malformed": ("agents", "a:b:c:d", "", "agents:run:"),
}


@pytest.fixture(scope="module")
def mapped(plain: Pair) -> list[tuple[str, str]]:
    """The routes that agno maps to scopes and AgentOS serves, with an id of `x`."""
    routes = [route.replace("*", "x").split(" ") for route in get_default_scope_mappings()]
    as_admin = as_user("root", ADMIN)
    found = []
    for method, path in routes:
        guarded = Answer.of(plain.guarded.request(method, path, headers=as_admin))
        if (guarded.status, guarded.detail) not in {
            (404, "Not Found"),
            (405, "Method Not Allowed"),
        }:
            found.append((method, path))
    return found


@pytest.mark.parametrize(
    ("based", "claimed"),
    [*((False, name) for name in CLAIMED), (True, "nothing"), (True, "one-resource")],
)
def test_every_route_asks_for_the_scopes_of_the_middleware(
    servers: Callable[[str, bool], Pair],
    mapped: list[tuple[str, str]],
    claimed: str,
    *,
    based: bool,
) -> None:
    plain, scopes, refused = servers("plain", based), CLAIMED[claimed], 0
    for method, path in mapped:
        control, guarded = plain.ask(method, path, headers=as_user("alice", *scopes))
        assert control.status == guarded.status, (method, path)
        if 403 == control.status:
            assert control.body == guarded.body, (method, path)
            refused += 1

    assert len(mapped) > 80
    assert bool(refused) == (scopes != (ADMIN,))
