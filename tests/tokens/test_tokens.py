"""Where the token is, and whether it may be used from there."""

from contextlib import nullcontext

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
from jwt_deps.tokens import SUBPROTOCOL, RequestHead, find_token
from tests.minting import SECRET

HEADER = JWTSettings(secret_key=SECRET)
COOKIE = JWTSettings(secret_key=SECRET, token_source=TokenSource.COOKIE)
BOTH = JWTSettings(secret_key=SECRET, token_source=TokenSource.BOTH)
SAME_ORIGIN = COOKIE.model_copy(update={"cookie_requests": "same-origin"})

BEARER = ("authorization", "Bearer from-header")
BASIC = ("authorization", "Basic YWxpY2U6c2VjcmV0")
COOKIES = ("cookie", "access_token=from-cookie")

Header = tuple[str, str]


def _head(
    *headers: Header, method: str | None = "GET", subprotocols: tuple[str, ...] = ()
) -> RequestHead:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return RequestHead(raw, method, subprotocols)


class TestHeader:
    @pytest.mark.parametrize(
        ("value", "token"),
        [
            pytest.param("Bearer a.b.c", "a.b.c", id="plain"),
            pytest.param("bearer a.b.c", "a.b.c", id="scheme-in-small-letters"),
            pytest.param("BEARER a.b.c", "a.b.c", id="scheme-in-capitals"),
            pytest.param("bEaReR a.b.c", "a.b.c", id="scheme-mixed"),
            pytest.param("Bearer  a.b.c", "a.b.c", id="two-spaces"),
            pytest.param("Bearer     a.b.c", "a.b.c", id="many-spaces"),
            pytest.param(" Bearer a.b.c", "a.b.c", id="space-ahead"),
            pytest.param("Bearer a.b.c ", "a.b.c", id="space-behind"),
            pytest.param("\tBearer a.b.c\t", "a.b.c", id="tabs-around"),
            pytest.param("Bearer a b", "a b", id="space-inside-is-left-to-the-parser"),
            pytest.param("Bearer \xe4", "\xe4", id="not-ascii-is-left-to-the-parser"),
            pytest.param("Bearer Bearer", "Bearer", id="a-token-called-bearer"),
            pytest.param("Bearer =", "=", id="other-characters-are-left-to-the-parser"),
        ],
    )
    def test_form(self, value: str, token: str) -> None:
        """The scheme counts in any case, and one space or several divide it from the token."""
        found = find_token(_head(("authorization", value)), HEADER)

        assert found == token

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("", id="empty"),
            pytest.param(" ", id="blank"),
            pytest.param("Basic YWxpY2U6c2VjcmV0", id="basic"),
            pytest.param("Digest username=alice, realm=x", id="digest"),
            pytest.param("DPoP a.b.c", id="dpop"),
            pytest.param("a.b.c", id="token-without-scheme"),
            pytest.param("Bearer\xa0a.b.c", id="no-break-space"),
            pytest.param("Bearer:a.b.c", id="colon"),
            pytest.param("Bearera.b.c", id="no-space"),
            pytest.param("Bearers a.b.c", id="longer-scheme"),
            pytest.param("JWT a.b.c", id="scheme-of-other-frameworks"),
            pytest.param("Bearer", id="scheme-alone"),
            pytest.param("Bearer ", id="scheme-and-space"),
            pytest.param("bearer    ", id="scheme-and-spaces"),
        ],
    )
    def test_a_header_without_a_token(self, value: str) -> None:
        """It is there, so it is never called missing (RFC 6750 §3.1: no error code)."""
        with pytest.raises(MissingTokenError) as refused:
            find_token(_head(("authorization", value)), HEADER)

        assert Reason.HEADER_FORM == refused.value.reason
        assert "Invalid token: the Authorization header has no Bearer token" == str(refused.value)

    @pytest.mark.parametrize(
        ("mode", "schemes"), [("allowed", "Bearer or DPoP"), ("required", "DPoP")]
    )
    def test_the_schemes_of_a_service_with_dpop(self, mode: str, schemes: str) -> None:
        """The sentence names those that are accepted."""
        settings = JWTSettings(
            secret_key=SECRET, dpop=DPoPMode(mode), public_origin="https://api.example"
        )

        with pytest.raises(MissingTokenError, match=f"has no {schemes} token"):
            find_token(_head(BASIC), settings)

    def test_a_tab_stays_with_the_token(self) -> None:
        """A credential is there, and it is no token: only spaces stand between (RFC 9110 §11.4)."""
        assert find_token(_head(("authorization", "Bearer\ta.b.c")), HEADER) == "\ta.b.c"

    @pytest.mark.parametrize(
        ("headers", "reason"),
        [
            pytest.param(
                [("authorization", "Basic x, Bearer a.b.c")],
                Reason.REPEATED_CREDENTIALS,
                id="behind-another-scheme",
            ),
            pytest.param(
                [("authorization", "Bearer a, Bearer b")],
                Reason.REPEATED_CREDENTIALS,
                id="list-of-two",
            ),
            pytest.param(
                [("authorization", "Bearer a,b")], Reason.REPEATED_CREDENTIALS, id="comma"
            ),
            pytest.param(
                [("authorization", "Bearer a, Basic b")],
                Reason.REPEATED_CREDENTIALS,
                id="list-with-another-scheme",
            ),
            pytest.param([BEARER, BEARER], Reason.REPEATED_CREDENTIALS, id="same-header-twice"),
            pytest.param(
                [BEARER, ("authorization", "Bearer b")],
                Reason.REPEATED_CREDENTIALS,
                id="two-headers",
            ),
            pytest.param([BASIC, BEARER], Reason.REPEATED_CREDENTIALS, id="two-schemes"),
            pytest.param(
                [("authorization", ""), BEARER], Reason.REPEATED_CREDENTIALS, id="one-empty"
            ),
        ],
    )
    def test_not_one_credential(self, headers: list[Header], reason: Reason) -> None:
        """Several credentials are an invalid request (RFC 6750 §3.1)."""
        with pytest.raises(InvalidRequestError) as refused:
            find_token(_head(*headers), HEADER)

        assert refused.value.reason is reason

    def test_cookie_is_not_read(self) -> None:
        """With the header as the source, a cookie counts for nothing."""
        with pytest.raises(MissingTokenError):
            find_token(_head(COOKIES), HEADER)

    def test_other_headers_do_not_matter(self) -> None:
        """The header is found among others, wherever it stands."""
        found = find_token(
            _head(("host", "api"), COOKIES, BEARER, ("authorization-info", "Bearer b")), HEADER
        )

        assert found == "from-header"


class TestHeaderOfAnotherName:
    SETTINGS = JWTSettings(secret_key=SECRET, token_header_key="X-Access-Token")

    def test_is_read_in_the_same_form(self) -> None:
        """Whatever the header's name, the form is `Bearer <token>`."""
        found = find_token(_head(("x-access-token", "Bearer a.b.c")), self.SETTINGS)

        assert found == "a.b.c"

    def test_needs_the_scheme(self) -> None:
        """A token without the scheme is none, whatever the header's name."""
        with pytest.raises(MissingTokenError):
            find_token(_head(("x-access-token", "a.b.c")), self.SETTINGS)

    def test_replaces_authorization(self) -> None:
        """`Authorization` is not read beside it."""
        with pytest.raises(MissingTokenError, match="X-Access-Token header missing"):
            find_token(_head(BEARER), self.SETTINGS)


class TestBareHeader:
    """A proxy writes the token into a header of its own: Cloudflare Access, Google IAP."""

    SETTINGS = JWTSettings(
        secret_key=SECRET, token_header_key="Cf-Access-Jwt-Assertion", token_header_scheme=""
    )

    @pytest.mark.parametrize("value", ["a.b.c", " a.b.c\t"], ids=["plain", "white-space"])
    def test_the_value_is_the_token(self, value: str) -> None:
        """Without a scheme before it."""
        found = find_token(_head(("cf-access-jwt-assertion", value)), self.SETTINGS)

        assert found == "a.b.c"

    def test_a_scheme_is_part_of_the_value(self) -> None:
        """No token has it."""
        head = _head(("cf-access-jwt-assertion", "Bearer a.b.c"))

        assert find_token(head, self.SETTINGS) == "Bearer a.b.c"

    @pytest.mark.parametrize(
        ("headers", "error", "words"),
        [
            pytest.param(
                [], MissingTokenError, "Cf-Access-Jwt-Assertion header missing", id="absent"
            ),
            pytest.param(
                [("cf-access-jwt-assertion", "")],
                MissingTokenError,
                "Invalid token: the Cf-Access-Jwt-Assertion header has no token",
                id="empty",
            ),
            pytest.param(
                [("cf-access-jwt-assertion", "a.b.c, d.e.f")],
                InvalidRequestError,
                "Invalid token: one header carries several credentials",
                id="joined-by-a-proxy",
            ),
            pytest.param(
                [("cf-access-jwt-assertion", "a.b.c"), ("cf-access-jwt-assertion", "d.e.f")],
                InvalidRequestError,
                "Invalid token: more than one header carries credentials",
                id="sent-by-the-client-too",
            ),
        ],
    )
    def test_refused(self, headers: list[Header], error: type[AuthError], words: str) -> None:
        """What is wrong is said with the header's name."""
        with pytest.raises(error) as refused:
            find_token(_head(*headers), self.SETTINGS)

        assert words == str(refused.value)


class TestCookie:
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("access_token=from-cookie", id="alone"),
            pytest.param("a=b; access_token=from-cookie; c=d", id="among-others"),
            pytest.param("a=b;access_token=from-cookie;c=d", id="without-spaces"),
            pytest.param("  access_token = from-cookie  ", id="spaces-around"),
            pytest.param("access_token=from-cookie;", id="semicolon-behind"),
            pytest.param("Access_Token=x; access_token=from-cookie", id="another-case"),
            pytest.param("xaccess_token=x; access_token=from-cookie", id="longer-name"),
            pytest.param("a; =; ;; access_token=from-cookie", id="junk-around"),
        ],
    )
    def test_form(self, value: str) -> None:
        """The cookie is found among others by its exact name."""
        found = find_token(_head(("cookie", value)), COOKIE)

        assert found == "from-cookie"

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param('"from-cookie"', id="quotes"),
            pytest.param("Bearer from-cookie", id="scheme"),
            pytest.param('"Bearer from-cookie"', id="both-as-starlette-writes-it"),
            pytest.param("bearer  from-cookie", id="another-case"),
        ],
    )
    def test_quotes_and_scheme_are_taken_off(self, value: str) -> None:
        """Frameworks write them: `set_cookie("access_token", f"Bearer {token}")`."""
        assert find_token(_head(("cookie", f"access_token={value}")), COOKIE) == "from-cookie"

    @pytest.mark.parametrize("value", ['""', '"Bearer "', "Bearer "])
    def test_nothing_in_them(self, value: str) -> None:
        """There is no token then."""
        with pytest.raises(MissingTokenError):
            find_token(_head(("cookie", f"access_token={value}")), COOKIE)

    def test_value_may_hold_equals_signs(self) -> None:
        """Only the first equals sign divides."""
        found = find_token(_head(("cookie", "access_token=a=b==")), COOKIE)

        assert found == "a=b=="

    def test_among_several_headers(self) -> None:
        """HTTP/2 divides cookies into several headers."""
        found = find_token(_head(("cookie", "a=b"), COOKIES, ("cookie", "c=d")), COOKIE)

        assert found == "from-cookie"

    def test_of_another_name(self) -> None:
        """The settings name the cookie."""
        settings = COOKIE.model_copy(update={"cookie_name": "__Host-session"})

        found = find_token(_head(("cookie", "access_token=x; __Host-session=a.b.c")), settings)

        assert found == "a.b.c"

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param([], id="no-cookies"),
            pytest.param([("cookie", "")], id="empty-header"),
            pytest.param([("cookie", "a=b")], id="other-cookies"),
            pytest.param([("cookie", "access_token=")], id="empty"),
            pytest.param([("cookie", "access_token")], id="no-value"),
            pytest.param([("cookie", "ACCESS_TOKEN=x")], id="another-case"),
            pytest.param([("cookie", "a=access_token=x")], id="name-inside-a-value"),
            pytest.param([BEARER], id="header-only"),
        ],
    )
    def test_absent(self, headers: list[Header]) -> None:
        """Without the cookie, or without anything in it, there is no token."""
        with pytest.raises(MissingTokenError):
            find_token(_head(*headers), COOKIE)

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param([("cookie", "access_token=a; access_token=b")], id="one-header"),
            pytest.param([("cookie", "access_token=a; access_token=a")], id="same-value"),
            pytest.param([("cookie", "access_token=a; access_token=")], id="one-empty"),
            pytest.param([COOKIES, COOKIES], id="two-headers"),
        ],
    )
    def test_twice(self, headers: list[Header]) -> None:
        """A second cookie of the name may have been planted: none of the two is believed."""
        with pytest.raises(InvalidRequestError) as refused:
            find_token(_head(*headers), COOKIE)

        assert refused.value.reason is Reason.REPEATED_CREDENTIALS


class TestBoth:
    @pytest.mark.parametrize(
        ("headers", "token"),
        [
            pytest.param([BEARER], "from-header", id="header-alone"),
            pytest.param([COOKIES], "from-cookie", id="cookie-alone"),
            pytest.param([BEARER, COOKIES], "from-header", id="header-then-cookie"),
            pytest.param([COOKIES, BEARER], "from-header", id="cookie-then-header"),
            pytest.param(
                [BEARER, COOKIES, COOKIES], "from-header", id="header-and-a-doubled-cookie"
            ),
        ],
    )
    def test_header_wins(self, headers: list[Header], token: str) -> None:
        """The cookie is read only when the header has no token."""
        found = find_token(_head(*headers), BOTH)

        assert found == token

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("Basic YWxpY2U6c2VjcmV0", id="basic"),
            pytest.param("", id="empty"),
            pytest.param("a.b.c", id="no-scheme"),
        ],
    )
    def test_another_scheme_leaves_the_cookie(self, value: str) -> None:
        """A staging site has `Basic` before it; the cookie is as good as without it."""
        head = _head(("authorization", value), COOKIES)

        assert find_token(head, BOTH) == "from-cookie"

    def test_another_scheme_without_a_cookie(self) -> None:
        """The header is there, and has no token."""
        with pytest.raises(MissingTokenError, match="the Authorization header has no Bearer token"):
            find_token(_head(BASIC), BOTH)

    def test_another_scheme_leaves_the_rule_for_cookies(self) -> None:
        """A page of another site can add no header, but the browser adds `Basic` by itself."""
        head = _head(BASIC, COOKIES, ("sec-fetch-site", "cross-site"), method="POST")

        with pytest.raises(CrossSiteRequestError):
            find_token(head, BOTH)

    def test_bearer_alone_is_refused(self) -> None:
        """No cookie makes up for it."""
        with pytest.raises(MissingTokenError):
            find_token(_head(("authorization", "Bearer"), COOKIES), BOTH)

    def test_a_header_is_no_cross_site_matter(self) -> None:
        """A page cannot make a browser send the header, so where the request comes from is open."""
        head = _head(BEARER, COOKIES, ("sec-fetch-site", "cross-site"), method="POST")

        assert find_token(head, BOTH) == "from-header"


class TestMissing:
    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            pytest.param(HEADER, "Authorization header missing", id="header"),
            pytest.param(COOKIE, "JWT cookie 'access_token' missing", id="cookie"),
            pytest.param(
                BOTH,
                "JWT token missing from both Authorization header and 'access_token' cookie",
                id="both",
            ),
            pytest.param(
                HEADER.model_copy(update={"token_header_key": "X-Token"}),
                "X-Token header missing",
                id="other-header",
            ),
            pytest.param(
                BOTH.model_copy(update={"token_header_key": "X-Token", "cookie_name": "session"}),
                "JWT token missing from both X-Token header and 'session' cookie",
                id="both-of-other-names",
            ),
        ],
    )
    def test_words(self, settings: JWTSettings, words: str) -> None:
        """What is missing is said in the words of the middleware, with the configured names."""
        with pytest.raises(MissingTokenError) as refused:
            find_token(_head(), settings)

        assert str(refused.value) == words

    def test_reason(self) -> None:
        """No credentials are no error of the request: a reason, and no code (RFC 6750 §3)."""
        with pytest.raises(MissingTokenError) as refused:
            find_token(_head(), HEADER)

        assert (refused.value.reason, refused.value.code) == (Reason.MISSING, None)


def _cross_site(*headers: Header, method: str | None = "POST") -> RequestHead:
    return _head(COOKIES, *headers, method=method)


SAME = [
    pytest.param([("sec-fetch-site", "same-origin")], id="same-origin"),
    pytest.param([("sec-fetch-site", "same-site")], id="same-site"),
    pytest.param([("sec-fetch-site", "none")], id="the-users-own-doing"),
    pytest.param(
        [("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
        id="sec-fetch-site-counts-before-origin",
    ),
    pytest.param([("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")], id="sent-twice"),
    pytest.param([("origin", "https://api.example"), ("host", "api.example")], id="origin"),
    pytest.param([("origin", "http://api.example"), ("host", "api.example")], id="origin-http"),
    pytest.param([("origin", "HTTPS://API.example"), ("host", "api.EXAMPLE")], id="any-case"),
    pytest.param([("origin", "https://api.example:443"), ("host", "api.example")], id="443-there"),
    pytest.param([("origin", "https://api.example"), ("host", "api.example:443")], id="443-here"),
    pytest.param([("origin", "http://api.example"), ("host", "api.example:80")], id="80-here"),
    pytest.param([("origin", "http://localhost:8000"), ("host", "localhost:8000")], id="port"),
    pytest.param([("origin", "https://[::1]:8443"), ("host", "[::1]:8443")], id="ipv6"),
    pytest.param([("host", "api.example")], id="no-browser"),
    pytest.param([], id="no-browser-and-no-host"),
]
CROSS = [
    pytest.param([("sec-fetch-site", "cross-site")], id="cross-site"),
    pytest.param([("sec-fetch-site", "")], id="empty"),
    pytest.param([("sec-fetch-site", "Same-Origin")], id="another-case"),
    pytest.param([("sec-fetch-site", "same-origin, same-origin")], id="list"),
    pytest.param([("sec-fetch-site", "something-new")], id="unknown-word"),
    pytest.param(
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], id="one-of-two"
    ),
    pytest.param(
        [
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://api.example"),
            ("host", "api.example"),
        ],
        id="origin-does-not-make-up-for-it",
    ),
    pytest.param([("origin", "https://evil.example"), ("host", "api.example")], id="origin"),
    pytest.param([("origin", "null"), ("host", "api.example")], id="null"),
    pytest.param([("origin", "null"), ("host", "null")], id="null-twice"),
    pytest.param([("origin", ""), ("host", "api.example")], id="origin-empty"),
    pytest.param([("origin", ""), ("host", "")], id="both-empty"),
    pytest.param([("origin", "https"), ("host", "")], id="scheme-alone"),
    pytest.param([("origin", "https://api.example")], id="no-host"),
    pytest.param(
        [("origin", "https://api.example"), ("host", "api.example"), ("host", "evil.example")],
        id="two-hosts",
    ),
    pytest.param(
        [
            ("origin", "https://api.example"),
            ("origin", "https://api.example"),
            ("host", "api.example"),
        ],
        id="two-origins",
    ),
    pytest.param([("origin", "https://api.example:8443"), ("host", "api.example")], id="port"),
    pytest.param([("origin", "https://api.example"), ("host", "api.example:8443")], id="port-here"),
    pytest.param([("origin", "https://api.example"), ("host", "api.example:80")], id="80-for-443"),
    pytest.param([("origin", "http://api.example"), ("host", "api.example:443")], id="443-for-80"),
    pytest.param([("origin", "https://api.example.evil"), ("host", "api.example")], id="suffix"),
    pytest.param([("origin", "https://evil-api.example"), ("host", "api.example")], id="prefix"),
    pytest.param([("origin", "https://x.api.example"), ("host", "api.example")], id="subdomain"),
    pytest.param([("origin", "api.example"), ("host", "api.example")], id="no-scheme"),
    pytest.param([("origin", "file://api.example"), ("host", "api.example")], id="file"),
    pytest.param(
        [("origin", "chrome-extension://api.example"), ("host", "api.example")], id="extension"
    ),
    pytest.param(
        [("origin", "https://api.example/"), ("host", "api.example")], id="origin-with-a-path"
    ),
]


class TestCrossSite:
    @pytest.mark.parametrize("headers", SAME)
    @pytest.mark.parametrize("method", ["POST", None], ids=["post", "websocket"])
    def test_own_page(self, headers: list[Header], method: str | None) -> None:
        """A cookie is believed where the browser says that the user's own page is asking."""
        found = find_token(_cross_site(*headers, method=method), COOKIE)

        assert found == "from-cookie"

    @pytest.mark.parametrize("headers", CROSS)
    @pytest.mark.parametrize("method", ["POST", None], ids=["post", "websocket"])
    def test_foreign_page(self, headers: list[Header], method: str | None) -> None:
        """A cookie is refused where it cannot be told that the user's own page is asking."""
        with pytest.raises(CrossSiteRequestError) as refused:
            find_token(_cross_site(*headers, method=method), COOKIE)

        assert (refused.value.reason, refused.value.code) == (Reason.CROSS_SITE, None)

    @pytest.mark.parametrize("scheme", ["ws", "wss"])
    def test_websocket_scheme(self, scheme: str) -> None:
        """An origin may name the scheme of the handshake itself."""
        head = _cross_site(("origin", f"{scheme}://api"), ("host", "api"), method=None)

        assert find_token(head, COOKIE) == "from-cookie"

    @pytest.mark.parametrize("headers", [case for case in SAME if case.id != "same-site"])
    @pytest.mark.parametrize("method", ["POST", None], ids=["post", "websocket"])
    def test_same_origin(self, headers: list[Header], method: str | None) -> None:
        """With `same-origin`, only a sibling of the user's own page is shut out with the others."""
        found = find_token(_cross_site(*headers, method=method), SAME_ORIGIN)

        assert found == "from-cookie"

    @pytest.mark.parametrize(
        "headers", [*CROSS, pytest.param([("sec-fetch-site", "same-site")], id="same-site")]
    )
    @pytest.mark.parametrize("method", ["POST", None], ids=["post", "websocket"])
    def test_another_origin(self, headers: list[Header], method: str | None) -> None:
        """With `same-origin`, neither another port nor a subdomain may have the cookie sent."""
        with pytest.raises(CrossSiteRequestError):
            find_token(_cross_site(*headers, method=method), SAME_ORIGIN)

    @pytest.mark.parametrize(
        ("origin", "is_own"),
        [
            pytest.param("https://api.example", True, id="itself"),
            pytest.param("HTTPS://API.example", True, id="any-case"),
            pytest.param("http://api.example", False, id="without-tls"),
            pytest.param("https://api.example:8443", False, id="port"),
            pytest.param("https://api.example/v1", False, id="path"),
            pytest.param("https://www.api.example", False, id="subdomain"),
            pytest.param("null", False, id="null"),
        ],
    )
    def test_public_origin(self, origin: str, *, is_own: bool) -> None:
        """With `same-origin`, `public_origin` says what `Host` cannot: the scheme too."""
        settings = SAME_ORIGIN.model_copy(update={"public_origin": "https://api.example/v1"})
        head = _cross_site(("origin", origin), ("host", "api.example"), method=None)

        with nullcontext() if is_own else pytest.raises(CrossSiteRequestError):
            assert find_token(head, settings) == "from-cookie"

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
    @pytest.mark.parametrize(
        "header",
        [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
        ids=["sec-fetch-site", "origin"],
    )
    def test_safe_methods(self, method: str, header: Header) -> None:
        """Methods that change nothing may be asked for from anywhere."""
        head = _cross_site(("host", "api.example"), header, method=method)

        assert find_token(head, COOKIE) == "from-cookie"

    @pytest.mark.parametrize(
        "method", ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", "", None]
    )
    def test_other_methods(self, method: str | None) -> None:
        """Every other method, unknown ones and the WebSocket handshake, may change something."""
        head = _cross_site(("sec-fetch-site", "cross-site"), method=method)

        with pytest.raises(CrossSiteRequestError):
            find_token(head, COOKIE)

    def test_cookie_of_both(self) -> None:
        """The rule holds for a cookie that is read because the header is absent."""
        head = _cross_site(("sec-fetch-site", "cross-site"))

        with pytest.raises(CrossSiteRequestError):
            find_token(head, BOTH)

    def test_without_a_cookie_there_is_nothing_to_protect(self) -> None:
        """A cross-site request without the cookie lacks a token, and that is all."""
        head = _head(("sec-fetch-site", "cross-site"), method="POST")

        with pytest.raises(MissingTokenError):
            find_token(head, COOKIE)

    def test_headers_that_can_be_read_only_once(self) -> None:
        """ASGI has headers as any iterable: one that runs dry does not hide the other site."""
        raw = [(b"cookie", b"access_token=a"), (b"sec-fetch-site", b"cross-site")]

        with pytest.raises(CrossSiteRequestError):
            find_token(RequestHead(iter(raw), "POST"), COOKIE)


class TestSubprotocols:
    @pytest.mark.parametrize("settings", [HEADER, BOTH], ids=["header", "both"])
    @pytest.mark.parametrize(
        "offered",
        [
            pytest.param(("bearer", "a.b.c"), id="pair"),
            pytest.param(("Bearer", "a.b.c"), id="another-case"),
            pytest.param(("bearer", "a.b.c", "chat"), id="pair-ahead"),
            pytest.param(("chat", "bearer", "a.b.c"), id="pair-behind"),
        ],
    )
    def test_pair(self, settings: JWTSettings, offered: tuple[str, ...]) -> None:
        """The token stands behind `bearer` in the list of subprotocols."""
        found = find_token(_head(method=None, subprotocols=offered), settings)

        assert found == "a.b.c"

    def test_name(self) -> None:
        """The first half of the pair is `bearer`."""
        assert SUBPROTOCOL == "bearer"

    @pytest.mark.parametrize(
        "offered",
        [
            pytest.param((), id="none"),
            pytest.param(("chat",), id="others"),
            pytest.param(("a.b.c",), id="token-alone"),
        ],
    )
    def test_absent(self, offered: tuple[str, ...]) -> None:
        """Other subprotocols carry no token."""
        with pytest.raises(MissingTokenError):
            find_token(_head(method=None, subprotocols=offered), HEADER)

    @pytest.mark.parametrize(
        ("offered", "reason"),
        [
            pytest.param(("bearer",), Reason.HEADER_FORM, id="alone"),
            pytest.param(("chat", "bearer"), Reason.HEADER_FORM, id="last"),
            pytest.param(("bearer", ""), Reason.HEADER_FORM, id="before-nothing"),
            pytest.param(
                ("bearer", "a.b.c", "bearer", "d.e.f"), Reason.REPEATED_CREDENTIALS, id="twice"
            ),
            pytest.param(("bearer", "bearer"), Reason.REPEATED_CREDENTIALS, id="itself"),
        ],
    )
    def test_not_one_credential(self, offered: tuple[str, ...], reason: Reason) -> None:
        """`bearer` with nothing behind it, or more than once, is refused."""
        with pytest.raises((InvalidRequestError, MissingTokenError)) as refused:
            find_token(_head(method=None, subprotocols=offered), HEADER)

        assert refused.value.reason is reason

    def test_beside_a_header(self) -> None:
        """A token in the header and another in the subprotocols are one too many."""
        head = _head(BEARER, method=None, subprotocols=("bearer", "a.b.c"))

        with pytest.raises(InvalidRequestError) as refused:
            find_token(head, HEADER)

        assert refused.value.reason is Reason.REPEATED_CREDENTIALS

    def test_beside_another_scheme(self) -> None:
        """Another scheme's header does not stand in the way of the pair."""
        head = _head(BASIC, method=None, subprotocols=("bearer", "a.b.c"))

        assert find_token(head, HEADER) == "a.b.c"

    def test_before_the_cookie(self) -> None:
        """The pair, which a page has to put there itself, wins over the cookie."""
        head = _head(COOKIES, method=None, subprotocols=("bearer", "a.b.c"))

        assert find_token(head, BOTH) == "a.b.c"

    def test_not_with_the_cookie_as_the_source(self) -> None:
        """Where the settings say cookie, neither header nor pair is read."""
        head = _head(method=None, subprotocols=("bearer", "a.b.c"))

        with pytest.raises(MissingTokenError):
            find_token(head, COOKIE)


class TestNothingOfTheRequestIsShown:
    def test_repr(self) -> None:
        """`repr` of a request's head shows the method and no credential."""
        head = _head(BEARER, COOKIES, method="POST", subprotocols=("bearer", "a.b.c"))

        assert repr(head) == "RequestHead(method='POST')"

    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(_head(BASIC), id="basic"),
            pytest.param(_head(("authorization", "YWxpY2U6c2VjcmV0")), id="no-scheme"),
            pytest.param(_head(("authorization", "Bearer YWxpY2U6c2VjcmV0,b")), id="list"),
            pytest.param(
                _head(method=None, subprotocols=("bearer", "YWxpY2U6c2VjcmV0", "bearer")), id="pair"
            ),
        ],
    )
    def test_errors(self, head: RequestHead) -> None:
        """No error repeats what the request carried."""
        with pytest.raises(AuthError) as refused:
            find_token(head, HEADER)

        assert "YWxpY2U6c2VjcmV0" not in f"{refused.value}{refused.value.description}"
