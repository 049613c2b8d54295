"""An AgentOS that adds its routes to an application guarded by `protect`."""

from agno.os import AgentOS
from agno.os.settings import AgnoAPISettings
from fastapi import Depends, FastAPI

from examples.agentos.environment import settings_from_environment
from examples.agentos.identity import agentos_caller
from examples.agentos.offline import offline_agent
from jwt_deps import protect

settings = settings_from_environment()

base_app = protect(
    FastAPI(title="AgentOS on a guarded application"),
    settings,
    exclude=["/", "/health", "/info"],
    dependencies=[Depends(agentos_caller)],
)

agent_os = AgentOS(
    id="offline",
    agents=[offline_agent()],
    base_app=base_app,
    # The application above has the guard.
    settings=AgnoAPISettings(authorization_enabled=True, os_security_key=None),
    telemetry=False,
)

app = agent_os.get_app()
app.state.user_isolation_enabled = True  # so that /info reports it to clients
