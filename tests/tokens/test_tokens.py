"""Where the token is, and whether it may be used from there."""

from typing import Any

import pytest

from jwt_deps.errors import (
    AuthError,
    CrossSiteRequestError,
    InvalidRequestError,
    MissingTokenError,
    Reason,
)
from jwt_deps.possession import DPoPMode
from jwt_deps.settings import JWTSettings, TokenSource
from jwt_deps.tokens import SUBPROTOCOL, find_token
from tests.asgi import scope_of
from tests.minting import SECRET

HEADER = JWTSettings(secret_key=SECRET)
COOKIE = JWTSettings(secret_key=SECRET, token_source=TokenSource.COOKIE)
BOTH = JWTSettings(secret_key=SECRET, token_source=TokenSource.BOTH)
SAME_ORIGIN = COOKIE.model_copy(update={"cookie_requests": "same-origin"})
OTHER_HEADER = JWTSettings(secret_key=SECRET, token_header_key="X-Access-Token")
#: A proxy writes the token into a header of its own: Cloudflare Access, Google IAP.
BARE = JWTSettings(secret_key=SECRET, token_header_key="X-Assertion", token_header_scheme="")

BEARER = ("authorization", "Bearer from-header")
BASIC = ("authorization", "Basic YWxpY2U6c2VjcmV0")
COOKIES = ("cookie", "access_token=from-cookie")

Header = tuple[str, str]


def _scope(
    *headers: Header, method: str | None = "GET", subprotocols: tuple[str, ...] = ()
) -> dict[str, Any]:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return scope_of(raw, method, subprotocols)


def _found(scope: dict[str, Any], settings: JWTSettings) -> str:
    """The token, or the reason why there is none that may be used."""
    try:
        return find_token(scope, settings)
    except AuthError as error:
        reason, said = error.reason, f"{error}{error.description}"
    assert "YWxpY2U6c2VjcmV0" not in said
    return reason


AUTHORIZATION = {
    "plain": ("Bearer a.b.c", "a.b.c"),
    "scheme-in-small-letters": ("bearer a.b.c", "a.b.c"),
    "scheme-mixed": ("bEaReR a.b.c", "a.b.c"),
    "many-spaces": ("Bearer     a.b.c", "a.b.c"),
    "space-ahead": (" Bearer a.b.c", "a.b.c"),
    "space-behind": ("Bearer a.b.c ", "a.b.c"),
    "tabs-around": ("\tBearer a.b.c\t", "a.b.c"),
    # A credential is there, and it is no token: only spaces stand between (RFC 9110 §11.4).
    "tab-inside-is-left-to-the-parser": ("Bearer\ta.b.c", "\ta.b.c"),
    "space-inside-is-left-to-the-parser": ("Bearer a b", "a b"),
    "not-ascii-is-left-to-the-parser": ("Bearer \xe4", "\xe4"),
    "a-token-called-bearer": ("Bearer Bearer", "Bearer"),
    "other-characters-are-left-to-the-parser": ("Bearer =", "="),
    # It is there, so it is never called missing (RFC 6750 §3.1: no error code).
    "empty": ("", Reason.HEADER_FORM),
    "blank": (" ", Reason.HEADER_FORM),
    "basic": (BASIC[1], Reason.HEADER_FORM),
    "digest": ("Digest username=alice, realm=x", Reason.HEADER_FORM),
    "dpop": ("DPoP a.b.c", Reason.HEADER_FORM),
    "token-without-scheme": ("a.b.c", Reason.HEADER_FORM),
    "basic-without-scheme": ("YWxpY2U6c2VjcmV0", Reason.HEADER_FORM),
    "no-break-space": ("Bearer\xa0a.b.c", Reason.HEADER_FORM),
    "colon": ("Bearer:a.b.c", Reason.HEADER_FORM),
    "no-space": ("Bearera.b.c", Reason.HEADER_FORM),
    "longer-scheme": ("Bearers a.b.c", Reason.HEADER_FORM),
    "scheme-of-other-frameworks": ("JWT a.b.c", Reason.HEADER_FORM),
    "scheme-alone": ("Bearer", Reason.HEADER_FORM),
    "scheme-and-spaces": ("bearer    ", Reason.HEADER_FORM),
    # Several credentials are an invalid request (RFC 6750 §3.1).
    "behind-another-scheme": ("Basic x, Bearer a.b.c", Reason.REPEATED_CREDENTIALS),
    "list-of-two": ("Bearer YWxpY2U6c2VjcmV0, Bearer b", Reason.REPEATED_CREDENTIALS),
    "comma": ("Bearer a,b", Reason.REPEATED_CREDENTIALS),
    "list-with-another-scheme": ("Bearer a, Basic b", Reason.REPEATED_CREDENTIALS),
}
COOKIE_HEADER = {
    "alone": ("access_token=from-cookie", "from-cookie"),
    "among-others": ("a=b; access_token=from-cookie; c=d", "from-cookie"),
    "without-spaces": ("a=b;access_token=from-cookie;c=d", "from-cookie"),
    "spaces-around": ("  access_token = from-cookie  ", "from-cookie"),
    "semicolon-behind": ("access_token=from-cookie;", "from-cookie"),
    "beside-another-case": ("Access_Token=x; access_token=from-cookie", "from-cookie"),
    "beside-a-longer-name": ("xaccess_token=x; access_token=from-cookie", "from-cookie"),
    "junk-around": ("a; =; ;; access_token=from-cookie", "from-cookie"),
    "equals-signs-in-the-value": ("access_token=a=b==", "a=b=="),
    # Frameworks write these: `set_cookie("access_token", f"Bearer {token}")`.
    "quotes": ('access_token="from-cookie"', "from-cookie"),
    "a-quote-alone": ('access_token="', '"'),
    "scheme": ("access_token=Bearer from-cookie", "from-cookie"),
    "both-as-starlette-writes-it": ('access_token="Bearer from-cookie"', "from-cookie"),
    "scheme-in-another-case": ("access_token=bearer  from-cookie", "from-cookie"),
    "nothing-in-quotes": ('access_token=""', Reason.MISSING),
    "scheme-in-quotes": ('access_token="Bearer "', Reason.MISSING),
    "scheme-alone": ("access_token=Bearer ", Reason.MISSING),
    "empty-header": ("", Reason.MISSING),
    "other-cookies": ("a=b", Reason.MISSING),
    "empty": ("access_token=", Reason.MISSING),
    "no-value": ("access_token", Reason.MISSING),
    "another-case": ("ACCESS_TOKEN=x", Reason.MISSING),
    "name-inside-a-value": ("a=access_token=x", Reason.MISSING),
    # A second cookie of the name may have been planted: none of the two is believed.
    "twice": ("access_token=a; access_token=b", Reason.REPEATED_CREDENTIALS),
    "twice-the-same": ("access_token=a; access_token=a", Reason.REPEATED_CREDENTIALS),
    "twice-and-one-empty": ("access_token=a; access_token=", Reason.REPEATED_CREDENTIALS),
}
SEVERAL: dict[str, tuple[JWTSettings, list[Header], str]] = {
    "header-among-others": (
        HEADER,
        [("host", "api"), COOKIES, BEARER, ("authorization-info", "Bearer b")],
        "from-header",
    ),
    "header-twice": (HEADER, [BEARER, BEARER], Reason.REPEATED_CREDENTIALS),
    "two-schemes": (HEADER, [BASIC, BEARER], Reason.REPEATED_CREDENTIALS),
    "header-empty-and-good": (HEADER, [("authorization", ""), BEARER], Reason.REPEATED_CREDENTIALS),
    "cookie-where-the-source-is-header": (HEADER, [COOKIES], Reason.MISSING),
    "header-where-the-source-is-cookie": (COOKIE, [BEARER], Reason.MISSING),
    # HTTP/2 divides cookies into several headers.
    "cookie-headers": (COOKIE, [("cookie", "a=b"), COOKIES, ("cookie", "c=d")], "from-cookie"),
    "cookie-in-two-headers": (COOKIE, [COOKIES, COOKIES], Reason.REPEATED_CREDENTIALS),
    "cookie-of-another-name": (
        COOKIE.model_copy(update={"cookie_name": "__Host-session"}),
        [("cookie", "access_token=x; __Host-session=a.b.c")],
        "a.b.c",
    ),
    "both-header-alone": (BOTH, [BEARER], "from-header"),
    "both-cookie-alone": (BOTH, [COOKIES], "from-cookie"),
    "both-header-then-cookie": (BOTH, [BEARER, COOKIES], "from-header"),
    "both-cookie-then-header": (BOTH, [COOKIES, BEARER], "from-header"),
    "both-header-and-a-doubled-cookie": (BOTH, [BEARER, COOKIES, COOKIES], "from-header"),
    # A staging site has `Basic` before it; the cookie is as good as without it.
    "both-basic-and-cookie": (BOTH, [BASIC, COOKIES], "from-cookie"),
    "both-empty-header-and-cookie": (BOTH, [("authorization", ""), COOKIES], "from-cookie"),
    "both-no-scheme-and-cookie": (BOTH, [("authorization", "a.b.c"), COOKIES], "from-cookie"),
    "both-basic-alone": (BOTH, [BASIC], Reason.HEADER_FORM),
    "both-scheme-alone": (BOTH, [("authorization", "Bearer"), COOKIES], Reason.HEADER_FORM),
    "other-header": (OTHER_HEADER, [("x-access-token", "Bearer a.b.c")], "a.b.c"),
    "other-header-no-scheme": (OTHER_HEADER, [("x-access-token", "a.b.c")], Reason.HEADER_FORM),
    "other-header-replaces-authorization": (OTHER_HEADER, [BEARER], Reason.MISSING),
    "bare": (BARE, [("x-assertion", "a.b.c")], "a.b.c"),
    "bare-white-space": (BARE, [("x-assertion", " a.b.c\t")], "a.b.c"),
    "bare-a-scheme-is-part-of-it": (BARE, [("x-assertion", "Bearer a.b.c")], "Bearer a.b.c"),
    "bare-empty": (BARE, [("x-assertion", "")], Reason.HEADER_FORM),
    "bare-joined-by-a-proxy": (BARE, [("x-assertion", "a, b")], Reason.REPEATED_CREDENTIALS),
    "bare-sent-by-the-client-too": (
        BARE,
        [("x-assertion", "a.b.c"), ("x-assertion", "d.e.f")],
        Reason.REPEATED_CREDENTIALS,
    ),
}


class TestFound:
    @pytest.mark.parametrize(("value", "found"), AUTHORIZATION.values(), ids=AUTHORIZATION)
    def test_in_the_header(self, value: str, found: str) -> None:
        """The scheme counts in any case, and one space or several divide it from the token."""
        assert found == _found(_scope(("authorization", value)), HEADER)

    @pytest.mark.parametrize(("value", "found"), COOKIE_HEADER.values(), ids=COOKIE_HEADER)
    def test_in_the_cookie(self, value: str, found: str) -> None:
        """The cookie is found among others by its exact name."""
        assert found == _found(_scope(("cookie", value)), COOKIE)

    @pytest.mark.parametrize(("settings", "headers", "found"), SEVERAL.values(), ids=SEVERAL)
    def test_among_headers(self, settings: JWTSettings, headers: list[Header], found: str) -> None:
        """The settings name the place; of both the header wins, unless it has another scheme."""
        assert found == _found(_scope(*headers), settings)


WORDS: dict[str, tuple[JWTSettings, list[Header], str]] = {
    "no-bearer-in-both": (
        BOTH,
        [BASIC],
        "Invalid token: the Authorization header has no Bearer token",
    ),
    "bare": (BARE, [], "X-Assertion header missing"),
    "bare-empty": (
        BARE,
        [("x-assertion", "")],
        "Invalid token: the X-Assertion header has no token",
    ),
    "list": (
        BARE,
        [("x-assertion", "a, b")],
        "Invalid token: one header carries several credentials",
    ),
}


class TestErrors:
    @pytest.mark.parametrize(("settings", "headers", "words"), WORDS.values(), ids=WORDS)
    def test_words(self, settings: JWTSettings, headers: list[Header], words: str) -> None:
        """Those of a bare header, too; `web/test_refusals` has the words of the usual places."""
        with pytest.raises(AuthError) as refused:
            find_token(_scope(*headers), settings)

        assert words == str(refused.value)

    @pytest.mark.parametrize(
        ("mode", "schemes"), [("allowed", "Bearer or DPoP"), ("required", "DPoP")]
    )
    def test_the_schemes_of_a_service_with_dpop(self, mode: str, schemes: str) -> None:
        """The sentence names those that are accepted."""
        settings = JWTSettings(
            secret_key=SECRET, dpop=DPoPMode(mode), public_origin="https://api.example"
        )

        with pytest.raises(MissingTokenError, match=f"has no {schemes} token"):
            find_token(_scope(BASIC), settings)

    @pytest.mark.parametrize(
        ("headers", "error", "code"),
        [
            pytest.param([], MissingTokenError, None, id="missing"),
            pytest.param([BASIC], MissingTokenError, None, id="header-form"),
            pytest.param([BEARER, BEARER], InvalidRequestError, "invalid_request", id="repeated"),
            pytest.param(
                [COOKIES, ("sec-fetch-site", "cross-site")],
                CrossSiteRequestError,
                None,
                id="cross-site",
            ),
        ],
    )
    def test_types(self, headers: list[Header], error: type[AuthError], code: str | None) -> None:
        """No credentials are no error of the request: a reason, and no code (RFC 6750 §3)."""
        with pytest.raises(error) as refused:
            find_token(_scope(*headers, method="POST"), BOTH)

        assert code == refused.value.code


def _page(site: str | None = None, origin: str | None = None, host: str | None = None) -> Any:
    """What a browser says of the page: each text may hold several headers, divided by `|`."""
    said = (("sec-fetch-site", site), ("origin", origin), ("host", host))
    return [(name, one) for name, text in said if text is not None for one in text.split("|")]


API = "https://api.example"
SAME = {
    "same-origin": _page("same-origin"),
    "same-site": _page("same-site"),
    "the-users-own-doing": _page("none"),
    "sec-fetch-site-counts-before-origin": _page("same-origin", "https://evil.example"),
    "sent-twice": _page("same-origin|none"),
    "origin": _page(None, API, "api.example"),
    "origin-http": _page(None, "http://api.example", "api.example"),
    "any-case": _page(None, "HTTPS://API.example", "api.EXAMPLE"),
    "443-there": _page(None, f"{API}:443", "api.example"),
    "443-here": _page(None, API, "api.example:443"),
    "80-here": _page(None, "http://api.example", "api.example:80"),
    "port": _page(None, "http://localhost:8000", "localhost:8000"),
    "ipv6": _page(None, "https://[::1]:8443", "[::1]:8443"),
    "no-browser": _page(None, None, "api.example"),
    "no-browser-and-no-host": _page(),
}
CROSS = {
    "cross-site": _page("cross-site"),
    "empty": _page(""),
    "another-case": _page("Same-Origin"),
    "list": _page("same-origin, same-origin"),
    "unknown-word": _page("something-new"),
    "one-of-two": _page("same-origin|cross-site"),
    "origin-does-not-make-up-for-it": _page("cross-site", API, "api.example"),
    "origin": _page(None, "https://evil.example", "api.example"),
    "null": _page(None, "null", "api.example"),
    "null-twice": _page(None, "null", "null"),
    "origin-empty": _page(None, "", "api.example"),
    "both-empty": _page(None, "", ""),
    "scheme-alone": _page(None, "https", ""),
    "no-host": _page(None, API),
    "two-hosts": _page(None, API, "api.example|evil.example"),
    "two-origins": _page(None, f"{API}|{API}", "api.example"),
    "port": _page(None, f"{API}:8443", "api.example"),
    "port-here": _page(None, API, "api.example:8443"),
    "80-for-443": _page(None, API, "api.example:80"),
    "443-for-80": _page(None, "http://api.example", "api.example:443"),
    "suffix": _page(None, "https://api.example.evil", "api.example"),
    "prefix": _page(None, "https://evil-api.example", "api.example"),
    "subdomain": _page(None, "https://x.api.example", "api.example"),
    "no-scheme": _page(None, "api.example", "api.example"),
    "file": _page(None, "file://api.example", "api.example"),
    "extension": _page(None, "chrome-extension://api.example", "api.example"),
    "origin-with-a-path": _page(None, "https://api.example/", "api.example"),
}
each_method = pytest.mark.parametrize("method", ["POST", None], ids=["post", "websocket"])


def _with_cookie(
    headers: list[Header], method: str | None = "POST", settings: JWTSettings = COOKIE
) -> str:
    return _found(_scope(COOKIES, *headers, method=method), settings)


class TestCrossSite:
    @each_method
    @pytest.mark.parametrize("name", SAME)
    def test_own_page(self, name: str, method: str | None) -> None:
        """A cookie is believed where the user's own page asks; `same-origin` refuses a sibling."""
        assert "from-cookie" == _with_cookie(SAME[name], method)
        expected = Reason.CROSS_SITE if name == "same-site" else "from-cookie"
        assert expected == _with_cookie(SAME[name], method, SAME_ORIGIN)

    @each_method
    @pytest.mark.parametrize("headers", CROSS.values(), ids=CROSS)
    def test_foreign_page(self, headers: list[Header], method: str | None) -> None:
        """A cookie is refused where it cannot be told that the user's own page is asking."""
        assert Reason.CROSS_SITE == _with_cookie(headers, method)
        assert Reason.CROSS_SITE == _with_cookie(headers, method, SAME_ORIGIN)
        assert Reason.CROSS_SITE == _with_cookie(headers, method, BOTH)

    @pytest.mark.parametrize("scheme", ["ws", "wss"])
    def test_websocket_scheme(self, scheme: str) -> None:
        """An origin may name the scheme of the handshake itself."""
        assert "from-cookie" == _with_cookie(_page(None, f"{scheme}://api", "api"), None)

    @pytest.mark.parametrize(
        ("origin", "found"),
        [
            pytest.param("https://api.example", "from-cookie", id="itself"),
            pytest.param("HTTPS://API.example", "from-cookie", id="any-case"),
            pytest.param("http://api.example", Reason.CROSS_SITE, id="without-tls"),
            pytest.param("https://api.example:8443", Reason.CROSS_SITE, id="port"),
            pytest.param("https://api.example/v1", Reason.CROSS_SITE, id="path"),
            pytest.param("https://www.api.example", Reason.CROSS_SITE, id="subdomain"),
            pytest.param("null", Reason.CROSS_SITE, id="null"),
        ],
    )
    def test_public_origin(self, origin: str, found: str) -> None:
        """With `same-origin`, `public_origin` says what `Host` cannot: the scheme too."""
        settings = SAME_ORIGIN.model_copy(update={"public_origin": "https://api.example/v1"})

        assert found == _with_cookie(_page(None, origin, "api.example"), None, settings)

    def test_public_origin_and_sibling_sites(self) -> None:
        """Where those may ask, an origin is compared with `Host`, as without `public_origin`."""
        settings = COOKIE.model_copy(update={"public_origin": "https://api.example"})

        assert "from-cookie" == _with_cookie(
            _page(None, "https://b.example", "b.example"), None, settings
        )

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
    def test_safe_methods(self, method: str) -> None:
        """Methods that change nothing may be asked for from anywhere."""
        assert "from-cookie" == _with_cookie(_page("cross-site"), method)
        assert "from-cookie" == _with_cookie(_page(None, "https://evil.example", "api"), method)

    @pytest.mark.parametrize(
        "header",
        [
            pytest.param(("upgrade", "WebSocket"), id="upgrade"),
            pytest.param(("sec-fetch-mode", "websocket"), id="mode"),
            pytest.param(("sec-websocket-key", "a"), id="key"),
            pytest.param(("sec-websocket-version", "13"), id="version"),
        ],
    )
    def test_a_handshake_that_a_proxy_asks_about(self, header: Header) -> None:
        """It is a `GET`, and may change something all the same."""
        assert Reason.CROSS_SITE == _with_cookie([*_page("cross-site"), header], "GET")

    @pytest.mark.parametrize(
        "method", ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", "", None]
    )
    def test_other_methods(self, method: str | None) -> None:
        """Every other method, unknown ones and the WebSocket handshake, may change something."""
        assert Reason.CROSS_SITE == _with_cookie(_page("cross-site"), method)

    @pytest.mark.parametrize(
        ("settings", "header", "found"),
        [
            # A page of another site can add no header, but the browser adds `Basic` by itself.
            pytest.param(BOTH, [BASIC, COOKIES], Reason.CROSS_SITE, id="basic-and-cookie"),
            pytest.param(BOTH, [BEARER, COOKIES], "from-header", id="a-page-cannot-send-bearer"),
            pytest.param(COOKIE, [], Reason.MISSING, id="nothing-to-protect"),
        ],
    )
    def test_of_the_cookie_alone(
        self, settings: JWTSettings, header: list[Header], found: str
    ) -> None:
        """The rule holds for the cookie that is used, and for nothing else."""
        assert found == _found(_scope(*header, *_page("cross-site"), method="POST"), settings)


PAIR = ("bearer", "a.b.c")
SUBPROTOCOLS: dict[str, tuple[JWTSettings, list[Header], tuple[str, ...], str]] = {
    "pair": (HEADER, [], PAIR, "a.b.c"),
    "another-case": (HEADER, [], ("Bearer", "a.b.c"), "a.b.c"),
    "pair-ahead": (HEADER, [], (*PAIR, "chat"), "a.b.c"),
    "pair-behind": (HEADER, [], ("chat", *PAIR), "a.b.c"),
    "of-both": (BOTH, [], PAIR, "a.b.c"),
    "none": (HEADER, [], (), Reason.MISSING),
    "others": (HEADER, [], ("chat",), Reason.MISSING),
    "token-alone": (HEADER, [], ("a.b.c",), Reason.MISSING),
    "scheme-alone": (HEADER, [], ("bearer",), Reason.HEADER_FORM),
    "scheme-last": (HEADER, [], ("chat", "bearer"), Reason.HEADER_FORM),
    "before-nothing": (HEADER, [], ("bearer", ""), Reason.HEADER_FORM),
    "twice": (HEADER, [], (*PAIR, "bearer", "YWxpY2U6c2VjcmV0"), Reason.REPEATED_CREDENTIALS),
    "itself": (HEADER, [], ("bearer", "bearer"), Reason.REPEATED_CREDENTIALS),
    "beside-a-header": (HEADER, [BEARER], PAIR, Reason.REPEATED_CREDENTIALS),
    "beside-another-scheme": (HEADER, [BASIC], PAIR, "a.b.c"),
    "before-the-cookie": (BOTH, [COOKIES], PAIR, "a.b.c"),
    "not-with-the-cookie-as-the-source": (COOKIE, [], PAIR, Reason.MISSING),
}


@pytest.mark.parametrize(
    ("settings", "headers", "offered", "found"), SUBPROTOCOLS.values(), ids=SUBPROTOCOLS
)
def test_subprotocols(
    settings: JWTSettings, headers: list[Header], offered: tuple[str, ...], found: str
) -> None:
    """A WebSocket's token stands behind `bearer` in its list of subprotocols."""
    assert SUBPROTOCOL == "bearer"
    assert found == _found(_scope(*headers, method=None, subprotocols=offered), settings)


def test_a_request_has_no_subprotocols() -> None:
    """A handshake that a proxy asks about as a request (`forward_auth`) keeps what it offered."""
    scope = {**scope_of([], "GET"), "subprotocols": [*PAIR]}

    assert Reason.MISSING == _found(scope, HEADER)
