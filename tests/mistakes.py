"""One configuration mistake for each reason."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import APIRouter, Body, Depends, FastAPI, Response
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from jose import backends
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from jwt_deps import (
    ApiKey,
    Claims,
    CurrentUser,
    Introspection,
    IssuerSettings,
    JWKSCacheSettings,
    JWTSettings,
    RedisReplayStore,
    StatusLists,
    claims_as,
    clear_token_cookie,
    create_access_token,
    current_user_id,
    forward_auth,
    jwt_guard,
    mcp_settings,
    mount_resource_metadata,
    protect,
    protected_router,
    public,
    require,
    require_acr,
    require_claim,
    require_roles,
    require_scopes,
)
from jwt_deps.jose import jwk as jwk_module
from jwt_deps.jose import signatures
from jwt_deps.keys import http as fetching
from jwt_deps.possession import redis_replay_store as redis_replays
from jwt_deps.settings import split_exclusions
from jwt_deps.testing import acting_as, using_settings
from jwt_deps.web import _fastapi, trial
from tests.loading import loaded_anew
from tests.minting import SECRET, pair
from tests.web.serving import SETTINGS

__all__ = ["MISTAKES", "Mistake"]

Mistake: TypeAlias = Callable[[Path, pytest.MonkeyPatch], object]

RSA, EC = pair("RSA"), pair("P-256")
FETCHED: dict[str, Any] = {
    "jwks_url": "https://issuer.example/keys",
    "issuer": "https://issuer.example",
    "audience": "api",
    "algorithm": "RS256",
}


def settings(**values: Any) -> Mistake:
    return lambda *_: JWTSettings(**values)


def fetched(**values: Any) -> Mistake:
    return settings(**{**FETCHED, **values})


def pem(text: str) -> Mistake:
    return settings(secret_key=text, algorithm="RS256")


def jwks(document: object, algorithm: str = "RS256") -> Mistake:
    def make(directory: Path, _: pytest.MonkeyPatch) -> object:
        path = directory / "jwks.json"
        path.write_text(json.dumps(document))
        return JWTSettings(jwks_file=path, algorithm=algorithm)

    return make


def issuer(**values: Any) -> IssuerSettings:
    return IssuerSettings(
        **{"secret_key": SECRET, "issuer": "https://a", "audience": "x", **values}
    )


def public_pem(key: PublicKeyTypes) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def without_httpx2(_: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(fetching, "find_spec", lambda _: None)
    return JWTSettings(**FETCHED)


def without_cryptography(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "ECKey", object)
    loaded_anew(signatures)


def not_supported(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwk_module, "load_pem_public_key", refusing)
    pem(RSA.public_pem)(_, monkeypatch)


def refusing(*_: object) -> None:
    raise UnsupportedAlgorithm("not in FIPS mode")


def as_input(annotation: Any) -> Mistake:
    async def endpoint(value: Any) -> None: ...

    endpoint.__annotations__["value"] = annotation
    return lambda *_: FastAPI().get("/x")(endpoint)


def assigned(*_: Any) -> None:
    JWTSettings(secret_key=SECRET).leeway = 30


def hello_plain(_: Any) -> Any: ...


def shared(*_: Any) -> None:
    routes: list[BaseRoute] = [APIRoute("/x", hello)]
    protect(FastAPI(routes=routes), SETTINGS)
    protect(FastAPI(routes=routes), SETTINGS)


async def hello() -> str:
    return "hello"


class Strange(BaseRoute):
    """Of an unknown class."""


def asked(app: FastAPI) -> None:
    """Send a request for the application's one route."""
    TestClient(app).get("/x")


def idle(*_: Any) -> None:
    asked(protect(FastAPI(), SETTINGS, exclude=["/nowhere"]))


def with_requirement(requirement: Any) -> None:
    app = FastAPI(dependencies=[Depends(requirement)])
    app.get("/x")(hello)
    with acting_as(app, "alice"), using_settings(app, JWTSettings(secret_key=SECRET)):
        asked(app)


def without_roles_claim(*_: Any) -> None:
    with_requirement(require_roles("admin"))


def with_a_check_that_returns_nothing(*_: Any) -> None:
    with_requirement(require(lambda _: None))  # type: ignore[arg-type]


def without_agno(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra was not installed."""
    monkeypatch.setitem(sys.modules, "agno.os", None)
    monkeypatch.delitem(sys.modules, "jwt_deps.agentos", raising=False)
    importlib.import_module("jwt_deps.agentos")


def an_agent_os(**options: Any) -> Any:
    """An AgentOS; agno is imported by those who make one."""
    from tests.agentos.side_by_side import agent_os  # noqa: PLC0415

    return agent_os(**options)


def twice_an_agent_os(*_: Any) -> None:
    """`protect_agent_os` was called for an application that it has guarded."""
    from jwt_deps.agentos import protect_agent_os  # noqa: PLC0415

    agent_os = an_agent_os(base_app=FastAPI())
    agent_os.get_app()
    protect_agent_os(agent_os, SETTINGS)


def an_agent_os_that_is_public(*_: Any) -> None:
    """It lets requests in by rules of its own."""
    from jwt_deps.agentos import protect_agent_os  # noqa: PLC0415

    agent_os = an_agent_os()
    agent_os.public = ["/agents"]
    protect_agent_os(agent_os, SETTINGS)


def a_mount_at_an_open_path(*_: Any) -> None:
    from jwt_deps.agentos import protect_agent_os  # noqa: PLC0415

    base = FastAPI()
    base.mount("/health", FastAPI())
    with TestClient(protect_agent_os(an_agent_os(base_app=base), SETTINGS)):
        pass


def scopes_of_a_path_without_a_method(*_: Any) -> None:
    """agno would ask for none."""  # noqa: D403 - its name
    from jwt_deps.agentos import protect_agent_os  # noqa: PLC0415

    protect_agent_os(an_agent_os(), SETTINGS, scope_mappings={"/reports": ["reports:read"]})


def uncovered(*_: Any) -> None:
    app = FastAPI(dependencies=[Depends(jwt_guard(SETTINGS))])
    app.get("/x")(hello)
    app.mount("/files", PlainTextResponse("hello"))
    asked(app)


class OwnWay(APIRoute):
    """A route that serves in a way of its own."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve without FastAPI's dependencies."""
        await PlainTextResponse("hello")(scope, receive, send)


def served_undecided(*_: Any) -> None:
    app = protect(FastAPI(), SETTINGS)
    app.router.route_class = OwnWay
    app.get("/x")(hello)
    asked(app)


class OwnCall(APIRouter):
    """A router that is called in a way of its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve past what is put around it."""
        await self.app(scope, receive, send)


def called_in_its_own_way(*_: Any) -> None:
    app = FastAPI()
    app.router = OwnCall()
    protect(app, SETTINGS)


def with_another_router(*_: Any) -> None:
    app = protect(FastAPI(), SETTINGS)
    app.router = APIRouter()
    asked(app)


class PastTheRouter(FastAPI):
    """An application that builds its middleware around something else than its router."""

    def build_middleware_stack(self) -> Any:
        return self.router.app


def past_the_router(*_: Any) -> None:
    TestClient(protect(PastTheRouter(), SETTINGS)).get("/docs")


async def reads_body(_: Annotated[str, Body()]) -> None: ...


def with_a_body_on_a_plain_route(*_: Any) -> None:
    router = protected_router(settings=SETTINGS, dependencies=[Depends(reads_body)])
    router.mount("/files", PlainTextResponse("hello"))
    app = FastAPI()
    app.include_router(router)
    asked(app)


def renamed_in_fastapi(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fastapi, "route_context", lambda _: None)
    monkeypatch.setattr(_fastapi, "inclusion_of", lambda _: None)
    trial.try_out.__wrapped__()


def without_redis(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_replays, "find_spec", lambda _: None)
    RedisReplayStore("redis://127.0.0.1")


def with_a_getter_of_bytes(*_: Any) -> None:
    getter: Any = lambda _: b"a.b.c"  # noqa: E731
    app = protect(FastAPI(), JWTSettings(secret_key=SECRET, token_getter=getter))
    app.get("/x")(hello)
    asked(app)


def covered(*_: Any) -> None:
    app = FastAPI(dependencies=[Depends(current_user_id)])
    mount_resource_metadata(app, JWTSettings(secret_key=SECRET, resource="https://api.example"))


MISTAKES: dict[str, Mistake] = {
    # keys
    "no_key": settings(),
    "unknown_algorithm": settings(secret_key=SECRET, algorithm="none"),
    "algorithm_without_key": settings(secret_key=SECRET, algorithm=["HS256", "RS256"]),
    "unfit_key": pem(SECRET),
    "short_secret": settings(secret_key="short"),
    "secret_not_text": settings(secret_key="\ud800" * 32),
    "private_key": pem("-----BEGIN PRIVATE KEY-----"),
    "certificate": pem("-----BEGIN CERTIFICATE-----"),
    "not_pem": pem("-----BEGIN PUBLIC KEY-----"),
    "public_key_not_pem": pem("".join(RSA.public_pem.strip().split("\n")[1:-1])),
    "address_as_secret": settings(secret_key="https://issuer.example/.well-known/jwks.json"),
    "reference_as_secret": settings(secret_key="/run/secrets/orders/jwt_secret_key"),
    "openssh_key": settings(secret_key="ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDf0 alice@host"),
    "key_type": pem(public_pem(ed448.Ed448PrivateKey.generate().public_key())),
    "short_rsa_key": pem(pair("RSA-1024").public_pem),
    "unsupported_key": not_supported,
    "long_rsa_key": pem(public_pem(rsa.RSAPublicNumbers(65537, (1 << 16_384) + 1).public_key())),
    "small_order_key": pem(public_pem(ed25519.Ed25519PublicKey.from_public_bytes(bytes(32)))),
    "key_curve": pem(pair("secp256k1").public_pem),
    "signature_backend": without_cryptography,
    # JWK Sets
    "jwks_file": settings(jwks_file="/nowhere", algorithm="RS256"),
    "jwks_without_keys": jwks(RSA.jwk()),
    "jwks_unused": jwks({"keys": [EC.jwk()]}),
    "secret_jwk": jwks({"keys": [RSA.jwk(d="AQAB")]}),
    "malformed_jwk": jwks({"keys": [{"kty": "RSA", "n": "AQAB"}]}),
    "kid_form": jwks({"keys": [RSA.jwk(kid=1)]}),
    "kid_twice": jwks({"keys": [RSA.jwk(kid="a"), pair("RSA", "other").jwk(kid="a")]}),
    "hmac_and_jwks": jwks({"keys": [RSA.jwk()]}, algorithm="HS256"),
    # settings
    "invalid_setting": settings(secret_key=SECRET, leeway=-1),
    "settings_are_fixed": assigned,
    "profile_loosened": settings(secret_key=SECRET, profile="rfc9068", token_types="x+jwt"),
    "cookie_dropped": lambda *_: clear_token_cookie(
        Response(), SETTINGS, samesite="none", secure=False
    ),
    "bare_header": settings(secret_key=SECRET, token_header_scheme=""),
    "dpop_places": settings(
        secret_key=SECRET, dpop="required", public_origin="https://a.example", token_source="cookie"
    ),
    "two_places": settings(secret_key=SECRET, token_source="cookie", token_getter=lambda _: None),
    "token_getter": with_a_getter_of_bytes,
    "audience_unverified": settings(secret_key=SECRET, audience="x", verify_audience=False),
    # keys over HTTP
    "httpx2_missing": without_httpx2,
    "two_key_addresses": fetched(discovery=True),
    "prefix_twice": settings(
        issuers={name: issuer(issuer=f"https://{name}", user_id_prefix="x") for name in ("a", "b")}
    ),
    "credential_form": lambda *_: protect(FastAPI(), SETTINGS, credentials=[hello_plain]),
    "forward_auth_proxies": lambda *_: forward_auth(SETTINGS, trusted_proxies=["proxy"]),
    "api_key_form": lambda *_: ApiKey(lambda _: None, header="Authorization"),
    "introspection_client": lambda *_: Introspection("https://a.example", "a", None),
    "introspection_url": lambda *_: Introspection("http://a.example", "a", "b"),
    "two_key_sets": settings(jwks={"keys": [RSA.jwk()]}, jwks_file="/nowhere", algorithm="RS256"),
    "two_secrets": settings(secret_key=SECRET, secret_key_file="/nowhere"),
    "secret_file": settings(secret_key_file="/nowhere"),
    "secret_not_base64": settings(secret_key="?" * 32, secret_key_encoding="base64"),
    "two_authorizations": fetched(
        jwks_token_file="/nowhere", jwks_headers={"authorization": "Basic YTpi"}
    ),
    "jwks_certificate": fetched(jwks_certificate_file="/nowhere"),
    "fetched_without_issuer": fetched(issuer=None),
    "fetched_without_audience": fetched(audience=None),
    "issuer_placeholder": fetched(issuer="https://login.microsoftonline.com/common/v2.0"),
    "key_address": fetched(jwks_url="http://issuer.example/keys"),
    "ca_file": fetched(ca_file="/nowhere"),
    "key_cache": lambda *_: JWKSCacheSettings(timeout=40),
    # several issuers
    "issuer_form": settings(issuers={"a": "https://a"}),
    "issuer_unnamed": settings(issuers={"a": issuer(issuer=None)}),
    "issuer_audience": settings(issuers={"a": issuer(audience=None)}),
    "issuer_twice": settings(issuers={"a": issuer(), "b": issuer()}),
    "issuers_and_single": settings(issuers={"a": issuer()}, secret_key=SECRET),
    # the resource and its profile
    "profile_unchecked": settings(secret_key=SECRET, profile="rfc9068"),
    "resource_identifier": settings(secret_key=SECRET, resource="http://api.example"),
    "resource_page": settings(secret_key=SECRET, resource_documentation="page"),
    "resource_missing": lambda *_: mount_resource_metadata(FastAPI(), SETTINGS),
    "metadata_not_public": covered,
    "mcp_forbids": lambda *_: mcp_settings(secret_key=SECRET),
    # senders of tokens
    "no_public_origin": settings(secret_key=SECRET, dpop="required"),
    "no_trusted_proxies": settings(secret_key=SECRET, client_certificate="xfcc"),
    "redis_missing": without_redis,
    "replay_store": lambda *_: RedisReplayStore("https://store.example"),
    "acr_values": lambda *_: require_acr(),
    # revocation
    "revocation_url": settings(secret_key=SECRET, revocation_url="https://store.example"),
    "revocation_staleness": settings(
        secret_key=SECRET, revocation_url="redis://127.0.0.1", revocation_max_staleness=1
    ),
    "revocation_without_exp": settings(
        secret_key=SECRET, revocation_url="redis://127.0.0.1", require_exp=False
    ),
    "status_list_hosts": lambda *_: StatusLists(JWTSettings(**FETCHED), hosts=[]),
    # issuing
    "signing_key": lambda *_: create_access_token(
        "alice", settings=JWTSettings(secret_key=RSA.public_pem, algorithm="RS256")
    ),
    # dependencies and routers
    "settings_as_input": as_input(JWTSettings),
    "claims_as_input": as_input(Claims),
    "identity_as_input": as_input(CurrentUser),
    "not_settings": lambda *_: jwt_guard("/health"),  # type: ignore[arg-type]
    "not_a_router": lambda *_: protected_router(FastAPI(), settings=SETTINGS),  # type: ignore[arg-type]
    "not_markable": lambda *_: public(object()),  # type: ignore[type-var]
    "without_depends": lambda *_: FastAPI().get("/x", dependencies=[require_scopes("a")])(hello),  # type: ignore[list-item]
    "not_called": lambda *_: FastAPI().get("/x", dependencies=[Depends(jwt_guard)])(hello),
    "not_a_model": lambda *_: claims_as(dict),
    "scope_names": lambda *_: require_scopes("orders:read orders:write"),
    "scope_parameter": lambda *_: with_requirement(require_scopes("orders:{order_id}:read")),
    "route_scopes": lambda *_: protected_router(settings=SETTINGS, scopes={"POST /x": []}),
    "role_names": lambda *_: require_roles(),
    "no_roles_claim": without_roles_claim,
    "claim_values": lambda *_: require_claim("plan", None),  # type: ignore[arg-type]
    "check_parameters": lambda *_: require(lambda claims, tenant: claims["tenant"] == tenant),
    "check_answer": with_a_check_that_returns_nothing,
    "not_an_application": lambda *_: protect(APIRouter(), SETTINGS),  # type: ignore[type-var]
    "protected_twice": lambda *_: protect(protect(FastAPI(), SETTINGS), SETTINGS),
    "unprotected_route": uncovered,
    "unknown_agno": without_agno,
    "agent_os_middleware": twice_an_agent_os,
    "agent_os_own_access": an_agent_os_that_is_public,
    "agent_os_open_mount": a_mount_at_an_open_path,
    "agent_os_scope_mappings": scopes_of_a_path_without_a_method,
    "undecided": served_undecided,
    "router_class": called_in_its_own_way,
    "shared_route": shared,
    "router_replaced": with_another_router,
    "router_bypassed": past_the_router,
    "dependency_reads_body": with_a_body_on_a_plain_route,
    "unknown_fastapi": renamed_in_fastapi,
    "exclusion_type": lambda *_: split_exclusions([7]),  # type: ignore[list-item]
    "idle_exclusion": idle,
    "route_class": lambda *_: protected_router(APIRouter(routes=[Strange()]), settings=SETTINGS),
    "unguarded_route": lambda *_: protected_router(
        settings=SETTINGS, routes=[APIRoute("/x", hello)]
    ),
    "default_application": lambda *_: protected_router(
        settings=SETTINGS, default=PlainTextResponse("hello")
    ),
}
