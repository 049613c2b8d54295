"""The sample application of `examples/permissions`: who may reach which of its routes."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from examples.permissions.app import app
from jwt_deps import JWTSettings, get_settings
from jwt_deps.audit import Audit, audit, compare
from jwt_deps.cli.app import main
from jwt_deps.testing import acting_as, using_settings
from tests.minting import SECRET

SOURCE = Path(__file__).parents[2] / "examples" / "permissions" / "app.py"
SETTINGS = JWTSettings(secret_key=SECRET, roles_claim="roles", admin_scope="root")


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    with using_settings(app, SETTINGS):
        yield


PEOPLE: dict[str, dict[str, Any]] = {
    "user without rights": {},
    "member": {"claims": {"tenant": "acme"}},
    "reader": {"claims": {"tenant": "acme"}, "scopes": ["agents:planner:read"]},
    "runner": {"claims": {"tenant": "acme"}, "scopes": ["agents:*:run", "agents:*:read"]},
    "editor": {"claims": {"tenant": "acme"}, "roles": ["editor"]},
    "owner": {"claims": {"tenant": "acme", "acr": "phr"}, "roles": ["owner", "editor"]},
    "owner with a password": {"claims": {"tenant": "acme"}, "roles": ["owner"]},
    "accountant": {"claims": {"tenant": "acme"}, "roles": ["accountant"]},
    "competitor": {"claims": {"tenant": "umbrella"}, "roles": ["owner"], "scopes": ["agents:*"]},
    "administrator": {"claims": {"tenant": "acme"}, "scopes": ["root"]},
    "nightly program": {"claims": {"grant": "client", "client_id": "nightly"}},
    "other program": {"claims": {"grant": "client", "client_id": "billing"}},
    "user of the nightly program": {"claims": {"client_id": "nightly"}},
}
ROUTES = {
    "POST /tenants/acme/agents/planner/runs": {"runner", "administrator"},
    "DELETE /tenants/acme/agents/planner": {"owner"},
    "GET /tenants/acme/bill": {"owner", "owner with a password", "accountant"},
    "POST /tenants/acme/bill/payment": {"owner"},
    "POST /jobs/clean-up": {"nightly program"},
    "GET /admin/tenants": {"administrator"},
    "GET /admin/health": set(PEOPLE),
    "GET /tenants/acme/agents": set(PEOPLE)
    - {
        *("user without rights", "competitor", "nightly program", "other program"),
        "user of the nightly program",
    },
}


@pytest.mark.parametrize("route", ROUTES)
def test_who_may_reach_a_route(route: str) -> None:
    """Everyone who is meant to, and no other."""
    method, path = route.split()
    client = TestClient(app)

    def reaches(who: str) -> bool:
        with acting_as(app, who, **PEOPLE[who]):
            return client.request(method, path).status_code == 200

    assert ROUTES[route] == {who for who in PEOPLE if reaches(who)}


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("member", []),
        ("reader", ["planner"]),
        ("runner", ["planner", "writer"]),
        ("administrator", ["planner", "writer"]),
    ],
)
def test_a_list_has_what_the_token_grants(who: str, seen: list[str]) -> None:
    """By the same scopes as the routes of its items."""
    with acting_as(app, who, **PEOPLE[who]):
        assert seen == TestClient(app).get("/tenants/acme/agents").json()


@pytest.mark.parametrize("tenant", ["umbrella", "*", "%2A", "acme%2F..%2Fumbrella", ""])
def test_no_tenant_but_ones_own(tenant: str) -> None:
    """Whatever the path says."""
    with acting_as(app, "owner", **PEOPLE["owner"]):
        answer = TestClient(app).get(f"/tenants/{tenant}/bill")

    assert answer.status_code in {403, 404}


EXPECTED = {
    ("/tenants/{tenant}/agents", "GET"): ((), ("check=only members of the tenant",)),
    ("/tenants/{tenant}/agents/{agent_id}/runs", "POST"): (
        ("agents:{agent_id}:run",),
        ("check=only members of the tenant",),
    ),
    ("/tenants/{tenant}/agents/{agent_id}", "DELETE"): (
        (),
        ("check=only members of the tenant", "role=editor", "role=owner"),
    ),
    ("/tenants/{tenant}/bill", "GET"): (
        (),
        ("check=only members of the tenant", "role=owner|accountant"),
    ),
    ("/tenants/{tenant}/bill/payment", "POST"): (
        (),
        ("check=only members of the tenant", "role=owner", "acr=phr"),
    ),
    ("/jobs/clean-up", "POST"): ((), ("claim=grant=client", "claim=client_id=nightly")),
    ("/admin/tenants", "GET"): (("admin:read",), ()),
}


def test_the_audit_prints_who_may_reach_each_route() -> None:
    """What each needs, and that one is public."""
    found = audit(app)

    assert found.ok, str(found)
    assert EXPECTED == {
        (it.path, *it.methods): (it.scopes, it.requires)
        for it in found.routes
        if it.verdict == "guarded"
    }
    assert "public" == next(it.verdict for it in found.routes if it.path == "/admin/health")


#: What can be loosened in the text of the application, and the looser text.
LOOSENED = {
    "a-check": (", dependencies=[Depends(members)])", ")"),
    "a-scope": ('dependencies=[Depends(require_scopes("agents:{agent_id}:run"))]', ""),
    "the-resource-of-a-scope": ("agents:{agent_id}:run", "agents:run"),
    "a-role": ('require_roles("editor", "owner")', 'require_roles("editor")'),
    "all-roles-to-any": ('require_roles("editor", "owner")', 'require_any_role("editor", "owner")'),
    "a-further-role": ('"owner", "accountant"', '"owner", "accountant", "guest"'),
    "a-claim": ('require_claim("client_id", "nightly")', 'require_claim("client_id")'),
    "a-further-value": ('"client_id", "nightly"', '"client_id", "nightly", "billing"'),
    "a-log-in": (', Depends(require_acr("phr"))', ""),
    "a-template": (', scopes={"GET /admin/*": ["admin:read"]}', ""),
    "a-narrower-template": ('"GET /admin/*"', '"GET /admin/health"'),
    "a-public-route": ('@admin.get("/tenants")\n', '@admin.get("/tenants")\n@public\n'),
    "an-excluded-pattern": (
        'scopes={"GET /admin/*": ["admin:read"]}',
        'scopes={"GET /admin/*": ["admin:read"]}, exclude=["/tenants/{tenant}/agents*"]',
    ),
}


def loaded(text: str) -> FastAPI:
    module = ModuleType("loosened")
    exec(compile(text, "loosened.py", "exec"), module.__dict__)  # noqa: S102 - our own example
    found: FastAPI = module.app
    return found


@pytest.mark.parametrize("loosening", LOOSENED)
def test_every_loosening_is_reported(loosening: str) -> None:
    """A comparison with the earlier audit finds it."""
    text, (former, looser) = SOURCE.read_text(), LOOSENED[loosening]
    assert former in text
    changed = loaded(text.replace(former, looser))

    with using_settings(changed, SETTINGS):
        assert [] != compare(audit(app), audit(changed))


#: Settings, and looser ones.
LOOSER_SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an-administrator": ({"admin_scope": None}, {}),
    "a-wildcard-for-an-administrator": ({}, {"admin_scope": "agents:*"}),
    "a-required-claim": ({"required_claims": ["tenant", "jti"]}, {"required_claims": ["jti"]}),
    "an-age": ({"max_token_age": 60}, {"max_token_age": 3600}),
    "a-further-claim-of-roles": ({}, {"roles_claim": "roles,groups"}),
    "a-further-claim-of-scopes": ({"scopes_claim": "scope"}, {"scopes_claim": "scope,roles"}),
    "a-further-type": ({}, {"token_types": "x+jwt"}),
    "any-audience": ({}, {"verify_audience": False}),
    "a-profile": ({"profile": "rfc9068", "issuer": "https://a", "audience": "api"}, {}),
}


@pytest.mark.parametrize("loosening", LOOSER_SETTINGS)
def test_looser_settings_are_reported(loosening: str) -> None:
    """They are no part of the application, and decide who may reach it all the same."""

    def audited(changed: dict[str, Any]) -> Audit:
        with using_settings(app, SETTINGS.model_copy(update=changed)):
            return audit(app)

    former, looser = map(audited, LOOSER_SETTINGS[loosening])

    assert [] != compare(former, looser)


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`jwt-deps audit --against` fails where something was loosened."""
    for name in ("before", "after"):
        text = SOURCE.read_text()
        if name == "after":
            text = text.replace(*LOOSENED["a-role"])
        (tmp_path / f"{name}_permissions.py").write_text(text)
    for name, value in (("SECRET_KEY", SECRET), ("ROLES_CLAIM", "roles"), ("ADMIN_SCOPE", "root")):
        monkeypatch.setenv(f"JWT_{name}", value)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    get_settings.cache_clear()
    against = tmp_path / "audit.json"

    def run(module: str, *options: str) -> Result:
        arguments = ["audit", f"{module}_permissions:app", "--app-dir", str(tmp_path), *options]
        return CliRunner().invoke(main, arguments)

    shown = run("before", "--format", "json")
    against.write_text(shown.stdout)
    same, other = (run(it, "--against", str(against)) for it in ("before", "after"))

    assert [0, 0, 1] == [it.exit_code for it in (shown, same, other)]
    assert "role=editor role=owner" in other.stdout
    get_settings.cache_clear()
