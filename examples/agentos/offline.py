"""An agent with a model that needs no provider and no network."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run import RunContext

__all__ = ["offline_agent", "whoami"]


def whoami(run_context: RunContext) -> str:
    """Return the user, the session and the state that a tool can read from the token."""
    return json.dumps(
        {
            "user_id": run_context.user_id,
            "session_id": run_context.session_id,
            "dependencies": run_context.dependencies,
            "session_state": run_context.session_state,
        }
    )


class OfflineModel(Model):
    """A model that calls the tool `whoami` once and repeats its answer."""

    def invoke(self, messages: list[Message], **_: Any) -> ModelResponse:
        """Answer at once."""
        return _answer(messages)

    async def ainvoke(self, messages: list[Message], **_: Any) -> ModelResponse:
        """Answer at once."""
        return _answer(messages)

    def invoke_stream(self, messages: list[Message], **_: Any) -> Iterator[ModelResponse]:
        """Answer in one piece."""
        yield _answer(messages)

    async def ainvoke_stream(
        self, messages: list[Message], **_: Any
    ) -> AsyncIterator[ModelResponse]:
        """Answer in one piece."""
        yield _answer(messages)

    def _parse_provider_response(self, response: Any, **_: Any) -> ModelResponse:
        raise NotImplementedError  # there is no provider

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        raise NotImplementedError


def _answer(messages: list[Message]) -> ModelResponse:
    last = messages[-1]
    if last.role == "tool":
        return ModelResponse(role="assistant", content=f"The tool says: {last.content}")
    function = {"name": whoami.__name__, "arguments": "{}"}
    call = {"id": "call-1", "type": "function", "function": function}
    return ModelResponse(role="assistant", tool_calls=[call])


def offline_agent() -> Agent:
    """Make the agent `assistant`, which keeps its sessions in memory and sends no telemetry."""
    return Agent(
        id="assistant",
        model=OfflineModel(id="offline", provider="offline"),
        tools=[whoami],
        db=InMemoryDb(),  # type: ignore[no-untyped-call]  # agno has no annotation
        telemetry=False,
    )
