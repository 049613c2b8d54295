"""An MCP server in a FastAPI application, behind jwt-deps."""
