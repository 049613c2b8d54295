"""The same on an application with routes of its own: `uvicorn examples.agentos.base_app:app`."""

from typing import Annotated

from agno.os import AgentOS
from fastapi import Depends, FastAPI

from examples.agentos.offline import offline_agent
from jwt_deps import current_user_id
from jwt_deps.agentos import protect_agent_os

base_app = FastAPI(title="AgentOS on an application of its own")


@base_app.get("/me")
async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
    """Say who is calling."""
    return user_id


app = protect_agent_os(
    AgentOS(id="offline", agents=[offline_agent()], base_app=base_app, telemetry=False)
)
