"""An AgentOS behind a protected router, without middleware."""

from agno.os import AgentOS
from agno.os.settings import AgnoAPISettings
from fastapi import Depends, FastAPI

from examples.agentos.environment import settings_from_environment
from examples.agentos.identity import agentos_caller
from examples.agentos.offline import offline_agent
from jwt_deps import protected_router

settings = settings_from_environment()

agent_os = AgentOS(
    id="offline",
    agents=[offline_agent()],
    # The application below serves the documentation and has the guard.
    settings=AgnoAPISettings(docs_enabled=False, authorization_enabled=True, os_security_key=None),
    telemetry=False,
)

app = FastAPI(title="AgentOS behind a protected router")
app.include_router(
    protected_router(
        agent_os.get_app().router,
        settings=settings,
        exclude=["/", "/health", "/info"],
        dependencies=[Depends(agentos_caller)],
    )
)
app.state.user_isolation_enabled = True  # so that /info reports it to clients
