"""What nginx asks, and what is behind it. Run: uvicorn tests.web.forward_auth_app:auth."""

from fastapi import FastAPI, Request

from jwt_deps import JWTSettings, forward_auth
from tests.minting import SECRET

auth = forward_auth(
    JWTSettings(
        secret_key=SECRET, token_source="both", dpop="allowed", public_origin="https://api.example"
    ),
    trusted_proxies=["127.0.0.1"],
)
behind = FastAPI()


@behind.api_route("/{path:path}", methods=["GET", "POST"])
async def echo(request: Request) -> str:
    return request.headers.get("x-user", "")
