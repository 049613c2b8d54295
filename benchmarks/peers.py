"""The same route protected by other packages, as their documentation shows it.

Their keys are at hand from the start, as after the first fetch: what is compared is a request.
Each import is late, because a peer may be absent, and the report then says so.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from pydantic import create_model
from starlette.types import ASGIApp

from benchmarks import tokens
from benchmarks.contestants import Contestant, serving

__all__ = ["AGENTOS", "PEERS", "agent_os", "peers"]

AGENTOS = "agno JWTMiddleware"


def _agno(algorithm: str, **options: Any) -> ASGIApp:
    app = serving()
    app.add_middleware(
        import_module("agno.os.middleware.jwt").JWTMiddleware,
        verification_keys=[tokens.text(algorithm)],
        algorithm=algorithm,
        validate=True,
        user_id_claim="sub",
        session_id_claim="session_id",
        **options,
    )
    return app


def _agno_audience(algorithm: str) -> ASGIApp:
    return _agno(algorithm, verify_audience=True, audience=tokens.AUDIENCE)


def _azure(_: str) -> ASGIApp:
    """`Security(azure_scheme)`, its OpenID configuration loaded."""
    azure = import_module("fastapi_azure_auth").SingleTenantAzureAuthorizationCodeBearer(
        app_client_id=tokens.AUDIENCE, tenant_id="tenant-1", scopes={}
    )
    config = azure.openid_config
    config._load_keys([tokens.jwk()])  # noqa: SLF001 - in place of its fetch
    config.issuer = tokens.ISSUER
    config._config_timestamp = datetime.now()  # noqa: DTZ005, SLF001 - as it does itself
    return serving(azure)


def _auth0(_: str) -> ASGIApp:
    """`Depends(auth0.require_auth())`, with its own cache of keys, filled."""
    domain = tokens.ISSUER.removeprefix("https://").rstrip("/")
    auth0 = import_module("fastapi_plugin").Auth0FastAPI(domain=domain, audience=tokens.AUDIENCE)
    uri = f"{tokens.ISSUER}.well-known/jwks.json"
    client, day = auth0.api_client, 86400
    metadata = {"issuer": tokens.ISSUER, "jwks_uri": uri}
    address = import_module("auth0_api_python.utils").normalize_domain(tokens.ISSUER)
    client._discovery_cache.set(address, metadata, ttl_seconds=day)  # noqa: SLF001 - likewise
    client._jwks_cache.set(uri, {"keys": [tokens.jwk()]}, ttl_seconds=day)  # noqa: SLF001
    return serving(auth0.require_auth())


def _authx(algorithm: str) -> ASGIApp:
    """`Depends(auth.access_token_required)`, audience and issuer configured."""
    authx = import_module("authx")
    keys = (
        {"JWT_SECRET_KEY": tokens.SECRET}
        if algorithm == "HS256"
        else {"JWT_PUBLIC_KEY": tokens.text(algorithm), "JWT_PRIVATE_KEY": "unused"}
    )
    config = authx.AuthXConfig(
        JWT_ALGORITHM=algorithm,
        JWT_TOKEN_LOCATION=["headers"],
        JWT_DECODE_AUDIENCE=tokens.AUDIENCE,
        JWT_DECODE_ISSUER=tokens.ISSUER,
        **keys,
    )
    auth = authx.AuthX(config=config)
    app = serving(auth.access_token_required)
    auth.handle_errors(app)
    return app


def _fastapi_users(_: str) -> ASGIApp:
    """`Depends(fastapi_users.current_user())`, with a user store that answers at once."""
    users = import_module("fastapi_users")
    authentication = import_module("fastapi_users.authentication")
    user = SimpleNamespace(id="user-1234567", is_active=True, is_verified=True, is_superuser=False)

    class Manager(users.BaseUserManager):  # type: ignore[name-defined,misc]
        """Every user exists."""

        def parse_id(self, value: object) -> object:
            """Any id is one."""
            return value

        async def get(self, id: object) -> SimpleNamespace:  # noqa: A002, ARG002 - its name
            """The one user."""
            return user

    manager = Manager(None)

    async def get_manager() -> object:
        return manager

    def strategy() -> Any:
        return authentication.JWTStrategy(tokens.SECRET, 3600, token_audience=[tokens.AUDIENCE])

    transport = authentication.BearerTransport("login")
    backend = authentication.AuthenticationBackend("jwt", transport, strategy)
    return serving(users.FastAPIUsers(get_manager, [backend]).current_user(active=True))


def _fastapi_jwt(_: str) -> ASGIApp:
    """`Security(access_security)`; it checks neither audience nor issuer."""
    access = import_module("fastapi_jwt").JwtAccessBearer(tokens.SECRET, auto_error=True)
    return serving(access)


def _jwks_client(algorithm: str) -> ASGIApp:
    """`Depends(JWKSBearer(verifier))`, the key set answered by a transport of its own."""
    package, httpx2 = import_module("jwks_client"), import_module("httpx2")
    answer = httpx2.Response(200, json={"keys": [tokens.jwk()]})
    http = import_module("httpware").AsyncClient(transport=httpx2.MockTransport(lambda _: answer))
    client = package.JWKSClient(f"{tokens.ISSUER}jwks", http_client=http, ttl=86400)
    verifier = package.JWTVerifier(
        client, algorithms=[algorithm], audience=tokens.AUDIENCE, issuer=tokens.ISSUER
    )
    return serving(import_module("jwks_client.fastapi").JWKSBearer(verifier))


def _fastapi_jwks(_: str) -> ASGIApp:
    """`Security(jwks_auth)`, the key set given in place of its address."""
    models = import_module("fastapi_jwks.models.types")
    token = create_model("Token", sub=(str, ...))
    validator = import_module("fastapi_jwks.validators").JWKSValidator[token](
        decode_config=models.JWTDecodeConfig(audience=[tokens.AUDIENCE], issuer=tokens.ISSUER),
        jwks_config=models.JWKSConfig(url=f"{tokens.ISSUER}jwks"),
    )
    validator.jwks_data = lambda: models.JWKS(keys=[tokens.jwk()])
    auth = import_module("fastapi_jwks.dependencies.jwk_auth").JWKSAuth(jwks_validator=validator)
    return serving(auth)


#: Package, what it is called here, algorithms, and how its application is made.
PEERS: tuple[tuple[str, str, tuple[str, ...], Callable[[str], ASGIApp]], ...] = (
    ("agno", AGENTOS, ("HS256", "RS256", "ES256"), _agno),
    ("agno", f"{AGENTOS}, audience", ("HS256",), _agno_audience),
    ("fastapi-azure-auth", "fastapi-azure-auth", ("RS256",), _azure),
    ("auth0-fastapi-api", "auth0-fastapi-api", ("RS256",), _auth0),
    ("authx", "authx", ("HS256", "RS256"), _authx),
    ("fastapi-users", "fastapi-users", ("HS256",), _fastapi_users),
    ("fastapi-jwt", "fastapi-jwt, no aud/iss", ("HS256",), _fastapi_jwt),
    ("jwks-client", "jwks-client", ("RS256",), _jwks_client),
    ("fastapi-jwks", "fastapi-jwks", ("RS256",), _fastapi_jwks),
)


def peers() -> Iterator[Contestant | tuple[str, str]]:
    """Every peer that can be had, and for the others their name and what went wrong."""
    for package, name, algorithms, make in PEERS:
        for algorithm in algorithms:
            yield _peer(package, name, algorithm, make)


def agent_os(algorithm: str) -> Contestant | tuple[str, str]:
    """The AgentOS middleware, or its name and why it cannot be measured."""
    return _peer("agno", AGENTOS, algorithm, _agno)


def _peer(
    package: str, name: str, algorithm: str, make: Callable[[str], ASGIApp]
) -> Contestant | tuple[str, str]:
    full = f"{name} {algorithm}"
    try:
        app = make(algorithm)
    except ImportError as error:
        return full, f"{package} is not here ({error.name or type(error).__name__})"
    except Exception as error:  # noqa: BLE001 - others' code; what it was is reported
        return full, f"{package} could not be set up: {type(error).__name__}: {error}"
    return Contestant(full, app, tokens.good(algorithm), algorithm, secure=True)
