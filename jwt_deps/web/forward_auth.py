"""Check tokens for a proxy: `auth_request` of nginx, forward-auth of Traefik, Caddy and Envoy."""

from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import quote, unquote

from fastapi import FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jwt_deps.errors import ConfigurationError
from jwt_deps.possession import TrustedProxies
from jwt_deps.settings import JWTSettings

from .installation import protect
from .request_principal import default_settings

_UNDERSTOOD = {400: 401}  # nginx would make 500 of it
_UNCACHED = {"Cache-Control": "no-store"}  # a proxy has to ask about each request
_NOT_TOLD = "No trusted proxy has said what was requested."
# Visible ASCII but `%`, so that each id has one spelling.
_PLAIN = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


def forward_auth(
    settings: JWTSettings | None = None,
    *,
    trusted_proxies: Iterable[str],
    method_header: str = "X-Forwarded-Method",
    uri_header: str = "X-Forwarded-Uri",
    host_header: str = "X-Forwarded-Host",
) -> FastAPI:
    """Make the application that a proxy asks whether a request may pass.

        app = forward_auth(trusted_proxies=["10.0.0.0/8"])  # uvicorn --no-proxy-headers

    The proxy says in headers what was requested, so that the rule for cookies, DPoP proofs and
    certificates apply to that request. A good token is answered with 200, because Envoy takes no
    other status, and with `X-Auth-User` and `X-Auth-Scopes`, percent-encoded; `X-Auth-User` is
    empty where the token names no user. Everything else is answered as by a guarded route, except
    that 400 becomes 401, because nginx makes 500 of a 400.

    Args:
        settings: what is accepted; `None` for `get_settings`.
        trusted_proxies: addresses and networks of the proxies, or `unix` for those that connect by
            a Unix socket. Any other peer gets 403, whatever it sends, and so does an address that
            one of the `forwarding_headers` of the settings names.
        method_header: the header with the method of the request.
        uri_header: the header with its path and query.
        host_header: the header with its host; without it `Host` counts.

    Returns:
        The application. It has no other routes.

    Raises:
        ConfigurationError: no proxy is trusted, or one of them is not an address.
    """
    proxies = _proxies(trusted_proxies)
    app = FastAPI(openapi_url=None)
    protect(app, settings).mount("/", _passed)
    headers = tuple(name.lower().encode() for name in (method_header, uri_header, host_header))

    class ForwardAuth:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
                return
            if scope["type"] == "websocket":
                # Some proxies hand the handshake on, and wait for the answer to a request.
                scope, send = {**scope, "type": "http"}, _denying(send)
            original = None
            accepted = settings or await default_settings(HTTPConnection(scope))
            if proxies.include_peer_of(scope, accepted.forwarding_header_names):
                original = _original(scope, *headers)
            if original is None:
                await Response(_NOT_TOLD, 403, _UNCACHED)(scope, receive, send)
                return
            await self._app(original, receive, _understood(send))

    app.add_middleware(ForwardAuth)
    return app


def _proxies(given: Iterable[str]) -> TrustedProxies:
    names = [given] if isinstance(given, str) else list(given)
    with suppress(ValueError):
        if names:
            return TrustedProxies.named(names)
    raise ConfigurationError(
        "forward_auth_proxies",
        "forward_auth needs trusted_proxies, addresses or networks such as 10.0.0.0/8, or unix: "
        "any other peer could claim any request.",
    )


def _original(scope: Scope, method: bytes, uri: bytes, host: bytes) -> Scope | None:
    """The request that the proxy asks about; `None` if it does not say which."""
    methods, uris, hosts = (
        [value for key, value in scope["headers"] if key == name] for name in (method, uri, host)
    )
    if not (len(methods) == len(uris) == 1) or len(hosts) > 1 or not uris[0].startswith(b"/"):
        return None
    path, _, query = uris[0].partition(b"?")
    kept = [(key, value) for key, value in scope["headers"] if key not in {method, uri, host}]
    if hosts:
        kept = [*((key, value) for key, value in kept if key != b"host"), (b"host", hosts[0])]
    return {
        **scope,
        "method": methods[0].decode("latin-1"),
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": query,
        "headers": kept,
        "root_path": "",
    }


def _understood(send: Send) -> Send:
    async def send_understood(message: Message) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            message = {**message, "status": _UNDERSTOOD.get(status, status)}
        await send(message)

    return send_understood


def _denying(send: Send) -> Send:
    """Answer a WebSocket handshake as a request (the ASGI extension `websocket.http.response`)."""

    async def send_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return send_denial


async def _passed(scope: Scope, receive: Receive, send: Send) -> None:
    state = Request(scope).state
    scopes, user_id = getattr(state, "scopes", ()), getattr(state, "user_id", None)
    headers = {
        **_UNCACHED,
        "X-Auth-Scopes": " ".join(quote(one, safe=_PLAIN) for one in scopes),
        # Empty where there is none: a proxy would leave the client's own in place.
        "X-Auth-User": quote(user_id or "", safe=_PLAIN),
    }
    await Response(headers=headers)(scope, receive, send)
