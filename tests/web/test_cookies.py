"""Scripts cannot read the token cookie, and other sites cannot send it."""

import time
from contextlib import nullcontext
from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest
from fastapi import Response

from jwt_deps import (
    ConfigurationError,
    InvalidTokenError,
    JWTSettings,
    MalformedTokenError,
    clear_token_cookie,
    set_token_cookie,
)
from tests.minting import SECRET, mint
from tests.web.serving import SETTINGS, token


def morsel(response: Response, name: str = "access_token") -> "Morsel[str]":
    return SimpleCookie(response.headers["set-cookie"])[name]


def test_the_cookie_is_closed_unless_told_otherwise() -> None:
    """`HttpOnly`, `Secure`, `SameSite=strict`, for the whole site and no other one."""
    response = Response()
    encoded = token()

    set_token_cookie(response, encoded, SETTINGS)

    cookie = morsel(response)
    assert (encoded, True, True, "strict", "/", "") == (
        cookie.value,
        cookie["httponly"],
        cookie["secure"],
        cookie["samesite"],
        cookie["path"],
        cookie["domain"],
    )


def test_it_can_be_told_otherwise() -> None:
    """Attributes for development without TLS and for subdomains; never without `HttpOnly`."""
    response = Response()

    set_token_cookie(
        response, token(), SETTINGS, path="/api", domain="a.example", secure=False, samesite="lax"
    )

    cookie = morsel(response)
    assert (True, "", "lax", "/api", "a.example") == (
        cookie["httponly"],
        cookie["secure"],
        cookie["samesite"],
        cookie["path"],
        cookie["domain"],
    )


def test_it_lasts_as_long_as_the_token() -> None:
    """`Max-Age` comes from `exp`."""
    response = Response()

    set_token_cookie(response, token(exp=time.time() + 100), SETTINGS)

    assert 98 <= int(morsel(response)["max-age"]) <= 100


@pytest.mark.parametrize(
    ("claims", "max_age"),
    [
        pytest.param({"exp": 1}, "0", id="expired"),
        pytest.param({}, "", id="without-exp-for-the-browser-session"),
    ],
)
def test_tokens_without_a_future(claims: dict[str, int], max_age: str) -> None:
    """An expired token deletes the cookie; one without `exp` ends with the browser."""
    response = Response()

    set_token_cookie(response, mint(claims), SETTINGS)

    assert max_age == morsel(response)["max-age"]


@pytest.mark.parametrize("text", ["", "nonsense", "a.b.c", "e30.W10.x", "e30.eyJleHAiOiJ4In0.x"])
def test_what_is_no_token_is_not_set(text: str) -> None:
    """`MalformedTokenError`, or a `ClaimError` for an `exp` that is no number."""
    with pytest.raises(InvalidTokenError):
        set_token_cookie(Response(), text, SETTINGS)
    with pytest.raises(MalformedTokenError):
        set_token_cookie(Response(), "nonsense", SETTINGS)


def test_the_settings_name_the_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given ones, or those of the environment."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_COOKIE_NAME", "from-environment")
    given, environment = Response(), Response()

    set_token_cookie(given, token(), JWTSettings(secret_key=SECRET, cookie_name="given"))
    set_token_cookie(environment, token())

    assert morsel(given, "given").value
    assert morsel(environment, "from-environment").value


def test_clearing_deletes_it_with_the_same_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser deletes only the cookie that was set."""
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    response, default = Response(), Response()

    clear_token_cookie(response, SETTINGS, path="/api", samesite="lax")
    clear_token_cookie(default)

    cookie = morsel(response)
    assert ("", "0", "/api", "lax", True, True) == (
        cookie.value,
        cookie["max-age"],
        cookie["path"],
        cookie["samesite"],
        cookie["secure"],
        cookie["httponly"],
    )
    assert "0" == morsel(default)["max-age"]


def test_a_partitioned_cookie() -> None:
    """One for each site that embeds this one, also where Starlette cannot write the attribute."""
    response = Response()

    set_token_cookie(response, token(), SETTINGS, samesite="none", partitioned=True)
    clear_token_cookie(response, SETTINGS, samesite="none", partitioned=True)

    assert [True, True] == [
        cookie.endswith("; Partitioned") for cookie in response.headers.getlist("set-cookie")
    ]


HOST, SECURE = "__Host-token", "__Secure-token"


@pytest.mark.parametrize(
    ("name", "options", "wrong"),
    [
        pytest.param(HOST, {}, None, id="host"),
        pytest.param(HOST, {"secure": False}, "secure=True", id="host-insecure"),
        pytest.param(HOST, {"path": "/api"}, 'path="/"', id="host-with-path"),
        pytest.param(HOST, {"domain": "a.example"}, "no domain", id="host-with-domain"),
        pytest.param("__hOsT-token", {"path": "/api"}, 'path="/"', id="host-in-any-case"),
        pytest.param(SECURE, {"path": "/api", "domain": "a.example"}, None, id="secure"),
        pytest.param(SECURE, {"secure": False}, "secure=True", id="secure-insecure"),
        pytest.param("__Http-token", {"secure": False}, "secure=True", id="http-insecure"),
        pytest.param("token", {"samesite": "none"}, None, id="none"),
        pytest.param(
            "token", {"samesite": "none", "secure": False}, "secure=True", id="none-plain"
        ),
        pytest.param(
            "token", {"samesite": "None", "secure": False}, "secure=True", id="none-in-any-case"
        ),
        pytest.param("token", {"partitioned": True}, None, id="partitioned"),
        pytest.param(
            "token", {"partitioned": True, "secure": False}, "secure=True", id="partitioned-plain"
        ),
    ],
)
def test_what_browsers_would_drop_is_refused(
    name: str, options: dict[str, Any], wrong: str | None
) -> None:
    """Where it is set, and where it is cleared: a log-out that is ignored is none."""
    settings = JWTSettings(secret_key=SECRET, cookie_name=name)
    refused = nullcontext() if wrong is None else pytest.raises(ConfigurationError, match=wrong)

    with refused:
        set_token_cookie(Response(), token(), settings, **options)
    with refused:
        clear_token_cookie(Response(), settings, **options)


@pytest.mark.parametrize("excess", [0, 1])
def test_a_cookie_of_more_than_4096_bytes_is_refused(excess: int) -> None:
    """Name and value together, as browsers count (RFC 6265bis §5.6)."""
    padding = "x" * 2900
    while len("access_token") + len(token(pad=padding)) < 4096:
        padding += "x"
    name = "n" * (4096 + excess - len(token(pad=padding)))
    settings = JWTSettings(secret_key=SECRET, cookie_name=name)
    refused = pytest.raises(ConfigurationError, match="4096") if excess else nullcontext()

    with refused:
        set_token_cookie(Response(), token(pad=padding), settings)
