"""A service for the agents of several companies: who may do what is said beside each route.

JWT_SECRET_KEY=... JWT_ROLES_CLAIM=roles JWT_ADMIN_SCOPE=root uvicorn examples.permissions.app:app
jwt-deps audit examples.permissions.app:app
"""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Path

from jwt_deps import (
    All,
    Claims,
    CurrentUser,
    current_client_id,
    granted,
    protected_router,
    public,
    require,
    require_acr,
    require_any_role,
    require_claim,
    require_roles,
    require_scopes,
)

__all__ = ["app"]

AGENTS = {"acme": ["planner", "writer"], "umbrella": ["chemist"]}


def belongs_to_the_tenant(claims: Claims, tenant: Annotated[str, Path()]) -> bool:
    """Whether the user is of the company whose data the path names."""
    return claims.get("tenant") is not None and bool(claims["tenant"] == tenant)


members = require(belongs_to_the_tenant, description="only members of the tenant")

tenants = APIRouter(prefix="/tenants/{tenant}", dependencies=[Depends(members)])
agents = APIRouter(prefix="/agents")


@agents.get("")
async def list_agents(
    tenant: str, ids: Annotated[frozenset[str] | All, Depends(granted("agents", "read"))]
) -> list[str]:
    """List the agents that the user may see."""
    return [agent for agent in AGENTS.get(tenant, []) if agent in ids]


@agents.post("/{agent_id}/runs", dependencies=[Depends(require_scopes("agents:{agent_id}:run"))])
async def run_agent(agent_id: str, user: Annotated[CurrentUser, Depends()]) -> str:
    """Run an agent."""
    return f"{agent_id} runs for {user.id}"


@agents.delete("/{agent_id}", dependencies=[Depends(require_roles("editor", "owner"))])
async def delete_agent(agent_id: str) -> str:
    """Delete an agent."""
    return f"{agent_id} is gone"


@tenants.get("/bill", dependencies=[Depends(require_any_role("owner", "accountant"))])
async def read_bill(tenant: str) -> str:
    """Show what the company has to pay."""
    return f"the bill of {tenant}"


@tenants.post(
    "/bill/payment", dependencies=[Depends(require_roles("owner")), Depends(require_acr("phr"))]
)
async def pay_bill(tenant: str) -> str:
    """Pay it, after a log-in that resists phishing."""
    return f"{tenant} has paid"


jobs = APIRouter(prefix="/jobs", dependencies=[Depends(require_claim("grant", "client"))])


@jobs.post("/clean-up", dependencies=[Depends(require_claim("client_id", "nightly"))])
async def clean_up(client_id: Annotated[str, Depends(current_client_id)]) -> str:
    """Delete what is old; for the nightly program alone."""
    return f"cleaned up for {client_id}"


admin = APIRouter(prefix="/admin")


@admin.get("/tenants")
async def list_tenants() -> list[str]:
    """List the companies."""
    return sorted(AGENTS)


@admin.get("/health")
@public
async def health() -> str:
    """Report that the service is up."""
    return "up"


tenants.include_router(agents)

app = FastAPI(title="Agents of several companies")
app.include_router(protected_router(tenants, jobs, admin, scopes={"GET /admin/*": ["admin:read"]}))
