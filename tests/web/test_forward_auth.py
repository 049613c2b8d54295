"""A service that proxies ask: what they understand, whom it believes, and real proxies."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from jwt_deps import ConfigurationError, JWTSettings, forward_auth
from jwt_deps.testing import Prover
from tests.minting import OTHER_SECRET, SECRET
from tests.providers.programs import Program, unused_port
from tests.web.serving import bearer, token

#: Its package, its configuration beside this file, its arguments, and what it says when it serves.
PROXIES = {
    "nginx": (
        "nginx-light",
        "nginx_forward_auth.conf",
        ["-e", "stderr", "-p", "DIRECTORY", "-c", "DIRECTORY/nginx_forward_auth.conf"],
        r"start worker process \d+",
    ),
    "caddy": (
        "caddy",
        "Caddyfile",
        ["run", "--adapter", "caddyfile", "--config", "DIRECTORY/Caddyfile"],
        "serving initial configuration",
    ),
}
SETTINGS = JWTSettings(
    secret_key=SECRET, token_source="both", dpop="allowed", public_origin="https://api.example"
)


def asking(peer: tuple[str, int] | None = ("10.0.0.7", 1), **options: Any) -> Any:
    app = forward_auth(SETTINGS, **{"trusted_proxies": ["10.0.0.0/8"], **options})
    client: Any = TestClient(app)

    async def from_peer(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "client": peer}, receive, send)

    client._transport.app = from_peer
    return client


def about(method: str = "GET", uri: str = "/orders?page=2", **further: str) -> dict[str, str]:
    return {"X-Forwarded-Method": method, "X-Forwarded-Uri": uri, **further}


class TestAnswers:
    def test_a_good_token(self) -> None:
        """204 with the user and the scopes, in one spelling each."""
        answer = asking().get("/check", headers=about() | bearer(sub="ann müller%", scope="a b"))

        assert (204, "ann%20m%C3%BCller%25", "a b") == (
            answer.status_code,
            answer.headers["x-auth-user"],
            answer.headers["x-auth-scopes"],
        )

    def test_a_token_that_names_no_user(self) -> None:
        """It is a good token; what is behind the proxy decides."""
        answer = asking().get("/", headers=about() | bearer(sub=""))

        assert (204, "") == (answer.status_code, answer.headers["x-auth-user"])

    def test_where_nothing_is_refused(self) -> None:
        """With `validate=False` nothing is said of a user who is not known."""
        lax = SETTINGS.model_copy(update={"validate": False})
        app = forward_auth(lax, trusted_proxies="unix")

        async def from_unix(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "client": None}, receive, send)

        answer = TestClient(from_unix).get("/", headers=about())

        assert (204, "") == (answer.status_code, answer.headers["x-auth-user"])

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            pytest.param({}, 401, id="missing"),
            pytest.param(bearer(OTHER_SECRET), 401, id="forged"),
            pytest.param({"Authorization": "Bearer a, Bearer b"}, 401, id="several"),
            pytest.param({"Cookie": f"access_token={token()}"}, 204, id="cookie"),
        ],
    )
    def test_others(self, headers: dict[str, str], status: int) -> None:
        """401 with a challenge, also where a service itself would answer 400."""
        answer = asking().get("/", headers=about() | headers)

        assert status == answer.status_code
        assert ("www-authenticate" in answer.headers) == (status == 401)

    def test_an_outage(self) -> None:
        """403 without a challenge: a token that may be good is not called invalid."""
        settings = JWTSettings(
            issuer="http://127.0.0.1:9",
            audience="api",
            jwks_url="http://127.0.0.1:9/keys",
            allow_loopback=True,
            algorithm="ES256",
        )
        app = forward_auth(settings, trusted_proxies="unix")
        head = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ"
        claims = bearer(iss="http://127.0.0.1:9", aud="api")["Authorization"].split(".")[1]

        async def from_unix(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "client": None}, receive, send)

        answer = TestClient(from_unix).get(
            "/", headers=about() | {"Authorization": f"Bearer {head}.{claims}.AAAA"}
        )

        assert (403, None) == (answer.status_code, answer.headers.get("www-authenticate"))

    @pytest.mark.parametrize(
        ("method", "site", "status"),
        [("POST", "cross-site", 403), ("POST", "same-origin", 204), ("GET", "cross-site", 204)],
    )
    def test_the_rule_for_cookies(self, method: str, site: str, status: int) -> None:
        """It holds for the method that was requested, whatever the proxy asks with."""
        headers = about(method) | {"Cookie": f"access_token={token()}", "Sec-Fetch-Site": site}

        assert status == asking().get("/", headers=headers).status_code

    @pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-origin", 204)])
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
        headers = about() | {"Cookie": f"access_token={token()}", "Sec-Fetch-Site": site}

        assert status == asking().get("/", headers=headers | {name: value}).status_code

    @pytest.mark.parametrize(
        ("headers", "status"), [(bearer(), 204), ({}, 401)], ids=["good", "missing"]
    )
    def test_a_handshake_that_a_proxy_hands_on(self, headers: dict[str, str], status: int) -> None:
        """Caddy asks with the handshake itself; a denial with 204 is what lets it pass."""
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            asking().websocket_connect("/", headers=about() | headers),
        ):
            pass

        assert status == denied.value.status_code

    @pytest.mark.parametrize(("host", "status"), [("shop.example", 204), ("evil.example", 403)])
    def test_the_host(self, host: str, status: int) -> None:
        """For browsers that send `Origin` alone."""
        headers = about("POST", **{"X-Forwarded-Host": host}) | {
            "Cookie": f"access_token={token()}",
            "Origin": "https://shop.example",
        }

        assert status == asking().get("/", headers=headers).status_code

    @pytest.mark.parametrize(("uri", "status"), [("/orders", 204), ("/other", 401)])
    def test_a_proof(self, uri: str, status: int) -> None:
        """It is one for the method and the address that were requested (RFC 9449)."""
        prover = Prover("https://api.example")
        headers = prover(token(**prover.binding), "PUT", "/orders")

        assert status == asking().get("/", headers=about("PUT", uri) | headers).status_code


class TestPeers:
    @pytest.mark.parametrize(
        ("peer", "proxies", "status"),
        [
            pytest.param(("10.1.2.3", 1), ["10.0.0.0/8"], 204, id="network"),
            pytest.param(("::ffff:10.1.2.3", 1), ["10.0.0.0/8"], 204, id="mapped"),
            pytest.param(("fd00::7", 1), ["fd00::/8"], 204, id="ipv6"),
            pytest.param(("192.0.2.7", 1), ["10.0.0.0/8"], 403, id="another"),
            pytest.param(("testclient", 1), ["10.0.0.0/8"], 403, id="no-address"),
            pytest.param(None, ["10.0.0.0/8"], 403, id="unknown"),
            pytest.param(None, ["unix"], 204, id="unix"),
        ],
    )
    def test_only_the_proxy_is_believed(self, peer: Any, proxies: list[str], status: int) -> None:
        """Any other peer could claim any request."""
        client = asking(peer, trusted_proxies=proxies)

        assert status == client.get("/", headers=about() | bearer()).status_code

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


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The service that is asked, and the one behind it."""
    directory = tmp_path_factory.mktemp("forward-auth")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    programs = {
        place: Program(
            [
                *(sys.executable, "-m", "uvicorn", f"tests.web.forward_auth_app:{name}"),
                *("--no-use-colors", "--no-proxy-headers", "--port", "0"),
            ],
            ready=re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)"),
            log=directory / f"{name}.log",
            environment=environment,
        )
        for place, name in (("AUTH", "auth"), ("UPSTREAM", "behind"))
    }
    try:
        yield {place: program.start()[1] for place, program in programs.items()}
    finally:
        for program in programs.values():
            program.stop()


@pytest.fixture(scope="module", params=PROXIES)
def proxy(
    request: pytest.FixtureRequest,
    services: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A real proxy, which asks a real service about each request to another one."""
    package, configuration, arguments, ready = PROXIES[request.param]
    found = shutil.which(request.param) or shutil.which(f"/usr/sbin/{request.param}")
    if found is None:
        pytest.skip(f"{request.param} is not installed (apt-get install {package})")
    directory, port = tmp_path_factory.mktemp(request.param), unused_port()
    text = Path(__file__).with_name(configuration).read_text()
    for name, value in {"PORT": str(port), **services}.items():
        text = text.replace(name, value)
    (directory / configuration).write_text(text)
    program = Program(
        [found, *(it.replace("DIRECTORY", str(directory)) for it in arguments)],
        ready=re.compile(ready),
        log=directory / "proxy.log",
        environment={"PATH": os.environ["PATH"], "HOME": str(directory)},
    )
    try:
        program.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop()


def test_behind_a_real_proxy(proxy: str) -> None:
    """The user is told; bad tokens, foreign pages and proofs of other requests do not pass."""
    prover = Prover("https://api.example")
    bound = token(**prover.binding)
    cookie = {"Cookie": f"access_token={token()}"}
    root = {"X-User": "root", "X-Auth-User": "root"}
    with httpx2.Client(base_url=proxy, trust_env=False) as client:

        def ask(method: str, path: str, headers: dict[str, str]) -> tuple[int, Any]:
            answer = client.request(method, path, headers=headers)
            return answer.status_code, answer.json() if answer.status_code == 200 else None

        assert (200, "alice") == ask("GET", "/orders?page=2", bearer())
        # What a client says of itself counts for nothing, also where the token names no user.
        assert (200, "alice") == ask("GET", "/orders", bearer() | root)
        assert (200, "") == ask("GET", "/orders", bearer(sub="") | root)
        assert (401, None) == ask("GET", "/orders", {})
        assert (401, None) == ask("GET", "/orders", bearer(OTHER_SECRET))
        assert (403, None) == ask("POST", "/orders", cookie | {"Sec-Fetch-Site": "cross-site"})
        assert (200, "alice") == ask("POST", "/orders", cookie | {"Sec-Fetch-Site": "same-origin"})
        assert (200, "alice") == ask("POST", "/orders", prover(bound, "POST", "/orders"))
        assert (401, None) == ask("POST", "/other", prover(bound, "POST", "/orders"))
        # The client's own words about another request count for nothing.
        claimed = about("GET", "/orders") | cookie | {"Sec-Fetch-Site": "cross-site"}
        assert (403, None) == ask("POST", "/orders", claimed)
