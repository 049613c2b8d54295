"""An MCP server in a protected router.

JWT_RESOURCE=https://mcp.example.com/mcp JWT_ISSUER=https://login.example.com \
        uvicorn examples.mcp.app:app
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from mcp.server.mcpserver import Context, MCPServer

from jwt_deps import mcp_settings, mount_resource_metadata, protected_router, require_scopes

settings = mcp_settings()
mcp = MCPServer("items")


@mcp.tool()
async def items(ctx: Context) -> str:
    """List the items, with the name of the user."""
    request = ctx.request_context.request
    user = request.state.user_id if request is not None else "an unknown user"
    return f"a hammer and a nail, for {user}"


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Run the sessions of the MCP server: FastAPI runs only its own lifespan."""
    async with mcp.session_manager.run():
        yield


app = FastAPI(lifespan=lifespan)
router = protected_router(settings=settings, dependencies=[Depends(require_scopes("read:items"))])
# Its route, not a mount: a mount answers /mcp with a redirect to /mcp/.
router.routes.extend(mcp.streamable_http_app(streamable_http_path="/mcp").routes)
app.include_router(router)
mount_resource_metadata(app, settings)
