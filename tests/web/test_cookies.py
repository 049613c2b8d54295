"""Scripts cannot read the token cookie, and other sites cannot send it."""

import time
from http.cookies import Morsel, SimpleCookie

import pytest
from fastapi import Response

from jwt_deps import (
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
