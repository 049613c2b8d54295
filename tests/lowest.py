"""Send requests to a guarded route, with the lowest versions that the package allows.

The gate runs this file in an environment of its own: `python -m tests.lowest`.
"""

import asyncio
import sys
from typing import Annotated

import httpx2
from fastapi import Depends, FastAPI

from jwt_deps import JWTSettings, current_user_id, protected_router
from jwt_deps.testing import FakeIssuer, TokenFactory, bearer


def app_for(settings: JWTSettings) -> FastAPI:
    """An application with one guarded route."""
    router = protected_router(settings=settings)

    @router.get("/me")
    async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
        return user_id

    app = FastAPI()
    app.include_router(router)
    return app


async def statuses(settings: JWTSettings, token: str) -> list[int]:
    """The answers to no token, to one with another signature, and to the token itself."""
    transport = httpx2.ASGITransport(app=app_for(settings))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        forged = f"{token.rpartition('.')[0]}.{'A' * 43}"
        headers = [{}, bearer(forged), bearer(token)]
        return [(await client.get("/me", headers=each)).status_code for each in headers]


def main() -> None:
    """Exit with 1 where an answer is wrong."""
    tokens = TokenFactory()
    found = {"a secret": asyncio.run(statuses(tokens.settings, tokens("alice")))}
    with FakeIssuer() as issuer:
        # The gate has much else to do at the same time.
        settings = issuer.settings(jwks_cache={"timeout": 30})
        token = issuer.token({"sub": "alice"}, audience="api")
        found["keys over HTTP"] = asyncio.run(statuses(settings, token))
    for keys, answers in found.items():
        if answers != [401, 401, 200]:
            sys.exit(f"With {keys}, no token, a forged one and a good one gave {answers}.")


if __name__ == "__main__":
    main()
