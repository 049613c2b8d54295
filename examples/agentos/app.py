"""An AgentOS whose users come from verified tokens: `uvicorn examples.agentos.app:app`."""

from agno.os import AgentOS

from examples.agentos.offline import offline_agent
from jwt_deps.agentos import protect_agent_os

app = protect_agent_os(AgentOS(id="offline", agents=[offline_agent()], telemetry=False))
