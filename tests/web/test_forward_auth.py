"""A service that proxies ask: what they understand, whom it believes, and real proxies."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from jwt_deps import (
    ConfigurationError,
    IssuerSettings,
    JWTSettings,
    MemoryReplayStore,
    forward_auth,
    get_settings,
)
from jwt_deps.testing import Prover
from tests.listening import listening
from tests.minting import OTHER_SECRET, SECRET
from tests.providers.programs import PATIENCE, browser, unused_port
from tests.proxies import CONNECTION_MANAGER, envoy_yaml, nginx_conf, serving, shown
from tests.web.serving import bearer, token

SETTINGS = JWTSettings(
    secret_key=SECRET, token_source="both", dpop="allowed", public_origin="https://api.example"
)
#: An issuer whose keys cannot be fetched, and a token that may be of it.
DOWN = IssuerSettings(
    issuer="http://127.0.0.1:9",
    audience="api",
    jwks_url="http://127.0.0.1:9/keys",
    allow_loopback=True,
    algorithm="ES256",
)
_CLAIMS = token(iss=DOWN.issuer, aud="api").split(".")[1]
OF_DOWN = {"Authorization": f"Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.{_CLAIMS}.AAAA"}


def asking(peer: tuple[str, int] | None = ("10.0.0.7", 1), **options: Any) -> Any:
    app = forward_auth(
        options.pop("settings", SETTINGS), **{"trusted_proxies": ["10.0.0.0/8"], **options}
    )
    client: Any = TestClient(app)

    async def from_peer(scope: Any, receive: Any, send: Any) -> None:
        server = ("10.0.0.1", 80) if peer else ("/run/auth.sock", None)
        await app({**scope, "client": peer, "server": server}, receive, send)

    client._transport.app = from_peer
    return client


def about(method: str = "GET", uri: str = "/orders?page=2", **further: str) -> dict[str, str]:
    return {"X-Forwarded-Method": method, "X-Forwarded-Uri": uri, **further}


def at_host(host: str) -> dict[str, str]:
    return about("POST", **{"X-Forwarded-Host": host})


SHOP = "https://shop.example"
COOKIE = {"Cookie": f"access_token={token()}"}


class TestAnswers:
    def test_a_good_token(self) -> None:
        """200, as Envoy needs it, with the user and the scopes, in one spelling each."""
        answer = asking().get("/check", headers=about() | bearer(sub="ann müller%", scope="a b"))

        assert (200, "ann%20m%C3%BCller%25", "a b") == (
            answer.status_code,
            answer.headers["x-auth-user"],
            answer.headers["x-auth-scopes"],
        )

    @pytest.mark.parametrize(
        "headers", [bearer(), {}, {"X-Forwarded-Uri": "x"}], ids=["good", "missing", "not-told"]
    )
    def test_attack_an_answer_for_another_user(self, headers: dict[str, str]) -> None:
        """A proxy with a cache must ask about each request."""
        answer = asking().get("/", headers=about() | headers)

        assert "no-store" == answer.headers["cache-control"]

    @pytest.mark.parametrize(
        ("lax", "headers"),
        [
            pytest.param(False, bearer(sub=""), id="it-names-none"),
            pytest.param(True, {}, id="nothing-is-refused"),
        ],
    )
    def test_no_user(self, headers: dict[str, str], *, lax: bool) -> None:
        """A good token may name none, and `validate=False` lets pass without one."""
        settings = SETTINGS.model_copy(update={"validate": not lax})

        answer = asking(settings=settings).get("/", headers=about() | headers)

        assert (200, "") == (answer.status_code, answer.headers["x-auth-user"])

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            pytest.param({}, 401, id="missing"),
            pytest.param(bearer(OTHER_SECRET), 401, id="forged"),
            pytest.param({"Authorization": "Bearer a, Bearer b"}, 401, id="several"),
            pytest.param(COOKIE, 200, id="cookie"),
        ],
    )
    def test_others(self, headers: dict[str, str], status: int) -> None:
        """401 with a challenge, also where a service itself would answer 400."""
        answer = asking().get("/", headers=about() | headers)

        assert status == answer.status_code
        assert ("www-authenticate" in answer.headers) == (status == 401)

    def test_an_outage(self) -> None:
        """503 without a challenge: a token that may be good is not called invalid."""
        settings = JWTSettings(issuers={"down": DOWN})

        answer = asking(settings=settings).get("/", headers=about() | OF_DOWN)

        assert (503, None) == (answer.status_code, answer.headers.get("www-authenticate"))
        assert "retry-after" in answer.headers

    def test_too_many_proofs(self) -> None:
        """429 as elsewhere: the client has to wait."""
        few = SETTINGS.model_copy(update={"dpop_replay_store": MemoryReplayStore(per_key=1)})
        prover, client = Prover("https://api.example"), asking(settings=few)
        bound = token(**prover.binding)

        answers = [
            client.get("/", headers=about() | prover(bound, "GET", "/orders")) for _ in range(2)
        ]

        assert [200, 429] == [answer.status_code for answer in answers]
        assert "retry-after" in answers[1].headers

    @pytest.mark.parametrize(
        ("asked", "headers", "status"),
        [
            pytest.param(about("POST"), {"Sec-Fetch-Site": "cross-site"}, 403, id="cross-site"),
            pytest.param(about("POST"), {"Sec-Fetch-Site": "same-origin"}, 200, id="same-origin"),
            pytest.param(about("GET"), {"Sec-Fetch-Site": "cross-site"}, 200, id="harmless"),
            pytest.param(at_host("shop.example"), {"Origin": SHOP}, 200, id="own-origin"),
            pytest.param(at_host("evil.example"), {"Origin": SHOP}, 403, id="other-origin"),
        ],
    )
    def test_the_rule_for_cookies(
        self, asked: dict[str, str], headers: dict[str, str], status: int
    ) -> None:
        """For the method and host that were requested; some browsers send `Origin` alone."""
        assert status == asking().get("/", headers=COOKIE | asked | headers).status_code

    @pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-origin", 200)])
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Sec-WebSocket-Key", "a2V5"),
            ("Sec-WebSocket-Version", "13"),
            ("Upgrade", "WebSocket"),
            ("Sec-Fetch-Mode", "websocket"),
        ],
    )
    def test_attack_a_handshake_of_another_site(
        self, name: str, value: str, site: str, status: int
    ) -> None:
        """The proxy asks with a request about a WebSocket, which the page could write to."""
        headers = COOKIE | about() | {"Sec-Fetch-Site": site, name: value}

        assert status == asking().get("/", headers=headers).status_code

    @pytest.mark.parametrize(
        ("headers", "status"), [(bearer(), 200), ({}, 401)], ids=["good", "missing"]
    )
    def test_a_handshake_that_a_proxy_hands_on(self, headers: dict[str, str], status: int) -> None:
        """Caddy asks with the handshake itself; a denial with 200 lets it pass."""
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            asking().websocket_connect("/", headers=about() | headers),
        ):
            pass

        assert status == denied.value.status_code

    @pytest.mark.parametrize(("uri", "status"), [("/orders", 200), ("/other", 401)])
    def test_a_proof(self, uri: str, status: int) -> None:
        """It is one for the method and the address that were requested (RFC 9449)."""
        prover = Prover("https://api.example")
        headers = prover(token(**prover.binding), "PUT", "/orders")

        assert status == asking().get("/", headers=about("PUT", uri) | headers).status_code


class TestPeers:
    @pytest.mark.parametrize(
        ("peer", "proxies", "status"),
        [
            pytest.param(("10.1.2.3", 1), ["10.0.0.0/8"], 200, id="network"),
            pytest.param(("::ffff:10.1.2.3", 1), ["10.0.0.0/8"], 200, id="mapped"),
            pytest.param(("fd00::7", 1), ["fd00::/8"], 200, id="ipv6"),
            pytest.param(("192.0.2.7", 1), ["10.0.0.0/8"], 403, id="another"),
            pytest.param(("testclient", 1), ["10.0.0.0/8"], 403, id="no-address"),
            pytest.param(None, ["10.0.0.0/8"], 403, id="unknown"),
            pytest.param(None, ["unix"], 200, id="unix"),
            pytest.param(("10.1.2.3", 1), ["unix"], 403, id="not-unix"),
        ],
    )
    def test_only_the_proxy_is_believed(self, peer: Any, proxies: list[str], status: int) -> None:
        """Any other peer could claim any request."""
        client = asking(peer, trusted_proxies=proxies)

        assert status == client.get("/", headers=about() | bearer()).status_code

    def test_attack_an_address_that_a_header_names(self) -> None:
        """The server may have taken it from there, and then the client chose it."""
        forwarded = {"X-Forwarded-For": "10.0.0.7"}
        named = SETTINGS.model_copy(update={"forwarding_headers": ["X-Our-Client"]})

        statuses = [
            asking(settings=settings).get("/", headers=about() | bearer() | headers).status_code
            for settings in (SETTINGS, named)
            for headers in (forwarded, {"X-Our-Client": "10.0.0.7"})
        ]

        assert [403, 200, 403, 403] == statuses

    def test_a_proxy_on_the_machine_of_its_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In development no header is looked at, if the list of them is empty."""
        headers = about(**{"X-Forwarded-For": "10.0.0.7"}) | bearer()
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        monkeypatch.setenv("JWT_FORWARDING_HEADERS", "[]")

        assert 200 == asking(settings=JWTSettings()).get("/", headers=headers).status_code

    def test_tcp_of_an_unknown_peer(self) -> None:
        """It is no Unix socket: a server may leave out the address for other reasons."""
        app = forward_auth(SETTINGS, trusted_proxies="unix")

        async def from_nowhere(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "client": None}, receive, send)

        assert 403 == TestClient(from_nowhere).get("/", headers=about() | bearer()).status_code

    def test_settings_that_are_replaced(self) -> None:
        """What replaces `get_settings` says which headers name addresses, too."""
        app = forward_auth(trusted_proxies="10.0.0.7")
        app.dependency_overrides[get_settings] = lambda: SETTINGS

        async def from_proxy(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "client": ("10.0.0.7", 1)}, receive, send)

        headers = about() | bearer()
        statuses = [
            TestClient(from_proxy).get("/", headers=headers | further).status_code
            for further in ({}, {"X-Real-IP": "10.0.0.7"})
        ]

        assert [200, 403] == statuses

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param([], id="none"),
            pytest.param([("X-Forwarded-Method", "GET")], id="no-uri"),
            pytest.param([("X-Forwarded-Uri", "/")], id="no-method"),
            pytest.param([*about().items(), ("X-Forwarded-Method", "POST")], id="two-methods"),
            pytest.param([*about().items(), ("X-Forwarded-Uri", "/")], id="two-uris"),
            pytest.param(about(uri="https://evil.example/").items(), id="absolute"),
            pytest.param(
                [*about().items(), ("X-Forwarded-Host", "a"), ("X-Forwarded-Host", "b")],
                id="two-hosts",
            ),
        ],
    )
    def test_a_request_that_is_not_told(self, headers: Any) -> None:
        """Nothing is checked for another one than was made."""
        answer = asking().get("/", headers=[*headers, *bearer().items()])

        assert 403 == answer.status_code

    @pytest.mark.parametrize("proxies", [[], "proxy.internal", ["10.0.0.1/8"]], ids=str)
    def test_without_a_proxy(self, proxies: Any) -> None:
        """It is refused when it is made."""
        with pytest.raises(ConfigurationError, match="trusted_proxies"):
            forward_auth(SETTINGS, trusted_proxies=proxies)

    def test_its_lifespan_is_run(self) -> None:
        """It fetches keys, and opens sources of revocations."""
        app = forward_auth(SETTINGS, trusted_proxies=["127.0.0.1"])

        with TestClient(app) as client:
            assert 403 == client.get("/").status_code


OWN = {"iss": "https://own.example", "aud": "api"}
#: A proxy tells the service the address of its client, which is not the proxy's.
CLIENT = "127.0.0.2"


async def behind(request: Request) -> JSONResponse:
    """Say what came through the proxy."""
    headers, scope = request.headers, request.scope
    query = scope["query_string"].decode()
    return JSONResponse(
        {
            "user": headers.get("x-auth-user", ""),
            "scopes": headers.get("x-auth-scopes", ""),
            "aliases": [it for it in headers if re.match("x[-_.]auth[_.]|x[_.]auth-", it)],
            "body": (await request.body()).decode(),
            "target": scope["raw_path"].decode() + (f"?{query}" if query else ""),
        }
    )


async def socket_behind(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.headers.get("x-auth-user", ""))
    await websocket.close()


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, str]]:
    """The service that is asked and the one behind, by their addresses in the examples."""
    settings = JWTSettings(
        issuers={
            "own": IssuerSettings(
                issuer=OWN["iss"], audience="api", secret_key=SECRET, user_id_prefix=""
            ),
            "down": DOWN,
        },
        token_source="both",
        dpop="allowed",
        dpop_replay_store=MemoryReplayStore(per_key=2),
        public_origin="https://api.example",
    )
    auth = forward_auth(settings, trusted_proxies="127.0.0.1")
    orders = Starlette(
        routes=[
            Route("/{path:path}", behind, methods=["GET", "POST"]),
            WebSocketRoute("/{path:path}", socket_behind),
        ]
    )
    with (
        listening(auth, proxy_headers=False) as auth_port,
        listening(orders, proxy_headers=False) as orders_port,
    ):
        yield {"auth:8000": f"127.0.0.1:{auth_port}", "orders:8000": f"127.0.0.1:{orders_port}"}


def configuration(name: str, port: int, services: dict[str, str]) -> dict[str, str]:
    """The files of a proxy: what the page shows, and where the tests run it."""
    first, *others = shown("how-to/behind-a-proxy.md", name)
    files = {}
    match name:
        case "nginx":
            files["nginx.conf"] = nginx_conf(first.replace("listen 80;", f"listen {port};"))
        case "Caddy":
            site = first.replace("orders.example.com", f"http://127.0.0.1:{port}")
            files["Caddyfile"] = f"{{\nadmin off\nauto_https off\n}}\n{site}"
        case "Traefik":
            static = first.replace(":80", f":{port}").replace(
                "orders.yaml", "DIRECTORY/orders.yaml"
            )
            alone = "global: {checkNewVersion: false, sendAnonymousUsage: false}"
            files["traefik.yaml"] = f"{static}\n{alone}\nlog: {{level: INFO}}\n"
            files["orders.yaml"] = others[0].replace("orders.example.com", "127.0.0.1")
        case "Envoy":
            clusters = {host.partition(":")[0]: address for host, address in services.items()}
            chains = CONNECTION_MANAGER + indent(first, " " * 6)
            files["envoy.yaml"] = envoy_yaml({port: chains}, clusters)
    for shown_address, address in services.items():
        files = {file: text.replace(shown_address, address) for file, text in files.items()}
    return files


@contextmanager
def running(name: str, services: dict[str, str], directory: Path) -> Iterator[str]:
    """A real proxy, which asks the one service about each request to the other."""
    port = unused_port()
    with serving(name.lower(), configuration(name, port, services), directory):
        deadline = time.monotonic() + PATIENCE
        with browser(f"http://127.0.0.1:{port}") as client:
            # Traefik listens before it has read its routes.
            while client.get("/health").status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module", params=["nginx", "Caddy", "Traefik", "Envoy"])
def proxy_name(request: pytest.FixtureRequest) -> str:
    """As the headings of the page have it."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def proxy(
    proxy_name: str, services: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with running(proxy_name, services, tmp_path_factory.mktemp(proxy_name)) as address:
        yield address


def ask(
    proxy: str,
    method: str,
    target: str,
    headers: dict[str, str],
    body: str = "",
    address: str = CLIENT,
) -> tuple[int, dict[str, Any], httpx2.Headers]:
    """Send a request for this very target; return status, body of a 200, and headers."""
    with browser(f"http://{proxy}", address=address) as client:
        answer = client.request(
            method, "/", content=body, headers=headers, extensions={"target": target.encode()}
        )
    return answer.status_code, answer.json() if answer.status_code == 200 else {}, answer.headers


#: What a client says of itself.
SPOOFED = {
    f"X{first}Auth{second}{name}": value
    for name, value in {"User": "root", "Scopes": "admin"}.items()
    for first in "-_."
    for second in "-_."
}
NOTHING = {"user": "", "scopes": "", "aliases": [], "body": ""}
ALICE = {"user": "alice", "scopes": "a %C3%BC", "aliases": [], "body": ""}
GOOD = bearer(**OWN, scope="a ü")
OWN_COOKIE = {"Cookie": f"access_token={token(**OWN)}"}


class TestBehindARealProxy:
    def test_nothing_to_ask(
        self, proxy_name: str, services: dict[str, str], tmp_path: Path
    ) -> None:
        """Nothing passes while the service that is asked is down."""
        down = services | {"auth:8000": f"127.0.0.1:{unused_port()}"}
        with running(proxy_name, down, tmp_path) as address:
            assert ask(address, "GET", "/orders", GOOD)[0] in {500, 502, 503}

    def test_a_nonce_for_the_proof(
        self, proxy_name: str, services: dict[str, str], tmp_path: Path
    ) -> None:
        """The refusal brings the nonce, with which the request is repeated (RFC 9449 §9)."""
        settings = JWTSettings(
            secret_key=SECRET,
            dpop="required",
            dpop_nonce_keys=["n" * 32],
            public_origin="https://api.example",
        )
        prover = Prover("https://api.example")
        bound = token(**prover.binding)
        auth = forward_auth(settings, trusted_proxies="127.0.0.1")
        with listening(auth, proxy_headers=False) as port:
            demanding = services | {"auth:8000": f"127.0.0.1:{port}"}
            with running(proxy_name, demanding, tmp_path) as address:
                refused, _, headers = ask(
                    address, "GET", "/orders", prover(bound, "GET", "/orders")
                )
                nonce = headers.get("dpop-nonce")
                proof = prover(bound, "GET", "/orders", nonce=nonce)
                accepted, _, _ = ask(address, "GET", "/orders", proof)

        assert (401, 200) == (refused, accepted)

    @pytest.mark.parametrize("spoofed", [{}, SPOOFED], ids=["honest", "spoofed"])
    def test_a_good_token(self, proxy: str, spoofed: dict[str, str]) -> None:
        """The user and the scopes are told, and nothing that the client says of itself."""
        target, body = "/orders?page=2&x=%2F", "two hammers"

        status, seen, _ = ask(proxy, "POST", target, GOOD | spoofed, body)

        assert (200, {**ALICE, "target": target, "body": body}) == (status, seen)

    def test_a_token_that_names_no_user(self, proxy: str) -> None:
        status, seen, _ = ask(proxy, "GET", "/orders", bearer(sub="", **OWN) | SPOOFED)

        assert (200, {**NOTHING, "target": "/orders"}) == (status, seen)

    def test_a_client_on_the_machine_of_the_proxy(self, proxy_name: str, proxy: str) -> None:
        """Where the proxy names its client's address, its own is not trusted."""
        tells = proxy_name in {"Caddy", "Traefik"}

        status, *_ = ask(proxy, "GET", "/orders", GOOD, address="127.0.0.1")

        assert (403 if tells else 200) == status

    @pytest.mark.parametrize(
        "name", ["X-Auth-User", "x-auth-scopes, X-AUTH-USER", "X-Forwarded-Uri", "Authorization"]
    )
    def test_attack_a_header_for_one_hop(self, proxy: str, name: str) -> None:
        """Proxies remove what `Connection` names (RFC 9110 §7.6.1): no user and no scopes."""
        headers = GOOD | SPOOFED | {"Connection": f"close, {name}"}

        status, seen, _ = ask(proxy, "GET", "/orders", headers)

        assert status == 401 or seen == {**ALICE, "target": "/orders"}

    @pytest.mark.parametrize(
        "headers", [{}, bearer(OTHER_SECRET, **OWN)], ids=["missing", "forged"]
    )
    def test_a_bad_token(self, proxy: str, headers: dict[str, str]) -> None:
        """401, and the challenge comes through."""
        status, _, answered = ask(proxy, "GET", "/orders", headers)

        assert 401 == status
        assert answered["www-authenticate"].startswith("Bearer")

    def test_an_outage(self, proxy: str) -> None:
        """503, also where the proxy knows 401 and 403 alone: the token may be good."""
        status, _, answered = ask(proxy, "GET", "/orders", OF_DOWN)

        assert 503 == status
        assert "www-authenticate" not in answered

    def test_too_many_proofs(self, proxy: str) -> None:
        """429, for which nginx says 503; both ask the client to wait."""
        prover = Prover("https://api.example")
        bound = token(**prover.binding, **OWN)

        answers = [ask(proxy, "GET", "/orders", prover(bound, "GET", "/orders")) for _ in range(3)]

        assert [200, 200] == [status for status, *_ in answers[:2]]
        assert answers[2][0] in {429, 503}
        assert "retry-after" in answers[2][2]

    @pytest.mark.parametrize(
        ("method", "headers", "expected"),
        [
            pytest.param("POST", {"Sec-Fetch-Site": "cross-site"}, 403, id="cross-site"),
            pytest.param("POST", {"Sec-Fetch-Site": "same-origin"}, 200, id="same-origin"),
            pytest.param("GET", {"Sec-Fetch-Site": "cross-site"}, 200, id="harmless"),
            pytest.param("POST", {"Origin": "https://evil.example"}, 403, id="other-origin"),
            pytest.param("POST", {"Origin": "http://PROXY"}, 200, id="own-origin"),
            pytest.param(
                "POST",
                {"Sec-Fetch-Site": "cross-site", **about("GET", "/orders")},
                403,
                id="attack-another-method",
            ),
            pytest.param(
                "POST",
                {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"},
                403,
                id="attack-another-host",
            ),
        ],
    )
    def test_a_cookie(
        self, proxy: str, method: str, headers: dict[str, str], expected: int
    ) -> None:
        """The rule for cookies holds for the request that was made."""
        sent = {name: value.replace("PROXY", proxy) for name, value in headers.items()}

        assert expected == ask(proxy, method, "/orders", OWN_COOKIE | sent)[0]

    @pytest.mark.parametrize(
        ("method", "target", "expected"),
        [
            pytest.param("POST", "/orders?page=2", 200, id="same"),
            pytest.param("POST", "/other", 401, id="other-path"),
            pytest.param("GET", "/orders", 401, id="other-method"),
        ],
    )
    def test_a_proof(self, proxy: str, method: str, target: str, expected: int) -> None:
        """It is one for the method and the path that were requested (RFC 9449)."""
        prover = Prover("https://api.example")
        headers = prover(token(**prover.binding, **OWN), "POST", "/orders")

        assert expected == ask(proxy, method, target, headers | about("POST", "/orders"))[0]

    @pytest.mark.parametrize(
        "target",
        [
            "/secret/../orders",
            "/secret/%2e%2e/orders",
            "//orders",
            "/./orders",
            "/secret/..%2forders",
        ],
    )
    def test_attack_another_spelling_of_a_path(self, proxy: str, target: str) -> None:
        """A proof passes for the path that the service sees, or for none."""
        prover = Prover("https://api.example")
        headers = prover(token(**prover.binding, **OWN), "GET", "/orders")

        status, seen, _ = ask(proxy, "GET", target, headers)

        assert status in {400, 401} or (200, "/orders") == (status, seen["target"])

    def test_a_public_path(self, proxy: str) -> None:
        """It needs no token, and no user is told."""
        status, seen, _ = ask(proxy, "GET", "/health?x=/orders", SPOOFED)

        assert (200, {**NOTHING, "target": "/health?x=/orders"}) == (status, seen)

    @pytest.mark.parametrize(
        "target",
        [
            "/health/",
            "/Health",
            "/health;x",
            "/healthy",
            "/health/../orders",
            "/health/..%2forders",
            "/health%2f../orders",
            "/health%00",
            "/health%3f/orders",
            "/orders?/health",
            "//health",
            "/./health",
            "/%68ealth",
            "/orders/1/../../health",
            "/orders/..%2fhealth",
            "/orders/%2e%2e/health",
            "/orders/x/..//../health",
            "/orders/..%5chealth",
            "/orders/..;/health",
        ],
    )
    def test_attack_another_path_as_a_public_one(self, proxy: str, target: str) -> None:
        """What passes without a token is `/health` for the service behind, to the letter."""
        status, seen, _ = ask(proxy, "GET", target, {})

        assert status in {400, 401, 404} or (200, "/health") == (status, seen["target"])

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            pytest.param(GOOD, "alice", id="header"),
            pytest.param({}, 401, id="missing"),
            pytest.param(OWN_COOKIE | {"Sec-Fetch-Site": "same-origin"}, "alice", id="own-page"),
            pytest.param(OWN_COOKIE | {"Sec-Fetch-Site": "cross-site"}, 403, id="foreign-page"),
            pytest.param(OWN_COOKIE | {"Origin": "http://PROXY"}, "alice", id="own-origin"),
            pytest.param(OWN_COOKIE | {"Origin": "https://evil.example"}, 403, id="foreign-origin"),
        ],
    )
    def test_a_web_socket(self, proxy: str, headers: dict[str, str], expected: object) -> None:
        """The rule for cookies is the one for handshakes, which need no dangerous method."""
        sent = {name: value.replace("PROXY", proxy) for name, value in headers.items()}
        found: object
        try:
            with connect(
                f"ws://{proxy}/updates",
                additional_headers=SPOOFED | sent,
                source_address=(CLIENT, 0),
                proxy=None,
                close_timeout=0,  # Envoy ends the connection a second later
            ) as connection:
                found = connection.recv()
        except InvalidStatus as denied:
            found = denied.response.status_code

        assert expected == found
