"""The settings under which the examples are served, in a few processes.

A name here is a process: `serving("cookie")` is the client of the one with those variables.
"""

import json
from pathlib import Path

from tests.minting import OTHER_SECRET, SECRET, pair

ISSUER = "https://issuer.example"
AUDIENCE = "https://agents.example"

#: A secret that no settings accept, hence never shown.
WEAK_SECRET = "hunter2-hunter2"


def environments(directory: Path) -> dict[str, dict[str, str]]:
    """Return the `JWT_*` variables of every process, by its name."""
    jwks = directory / "jwks.json"
    keys = [
        pair("RSA").jwk(kid="rsa", use="sig"),
        pair("P-256").jwk(kid="ec", alg="ES256"),
    ]
    jwks.write_text(json.dumps({"keys": keys}))
    return {
        "secret": {
            "JWT_SECRET_KEY": SECRET,
            "JWT_DEPENDENCIES_CLAIMS": "tenant,plan",
            "JWT_SESSION_STATE_CLAIMS": "theme",
        },
        "cookie": {
            "JWT_SECRET_KEY": SECRET,
            "JWT_TOKEN_SOURCE": "cookie",
            "JWT_COOKIE_NAME": "agents_token",
            "JWT_EXCLUDED_ROUTE_PATHS": "/agents,/agents/{agent_id},/teams",
            "JWT_LEEWAY": "0",
        },
        "both": {
            "JWT_SECRET_KEY": SECRET,
            "JWT_TOKEN_SOURCE": "both",
            "JWT_TOKEN_HEADER_KEY": "X-Agents-Token",
            "JWT_REQUIRE_EXP": "false",
            "JWT_MAX_TOKEN_SIZE": "800",
            "JWT_LEEWAY": "120",
        },
        "pem": {
            "JWT_SECRET_KEY": pair("RSA").public_pem,
            "JWT_ALGORITHM": "RS256",
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": f"{AUDIENCE},https://more.example",
            "JWT_USER_ID_CLAIM": "account.id",
            "JWT_SESSION_ID_CLAIM": "sid",
        },
        "jwks": {
            "JWT_JWKS_FILE": str(jwks),
            "JWT_ALGORITHM": '["RS256", "ES256"]',
            "JWT_SCOPES_CLAIM": "permissions",
        },
        "rotation": {
            "JWT_SECRET_KEY": SECRET,
            "JWT_VERIFICATION_KEYS": json.dumps([OTHER_SECRET]),
            "JWT_ALGORITHM": "HS256,HS512",
            # What an AgentOS that used its own middleware was configured with.
            "JWT_VERIFICATION_KEY": "left-over-from-the-middleware",
            "OS_SECURITY_KEY": "left-over-too",
        },
        "anonymous": {"JWT_SECRET_KEY": SECRET, "JWT_VALIDATE": "false"},
        # The next ones cannot start.
        "weak": {"JWT_SECRET_KEY": WEAK_SECRET},
        "misspelt": {"JWT_SECRET_KEY": SECRET, "JWT_EXCLUDED_ROUTE_PATHS": "/helth"},
    }
