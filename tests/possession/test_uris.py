"""Equivalent spellings of a URI are equal, and no others (RFC 3986 §6.2.2, §6.2.3)."""

from contextlib import suppress
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps.possession.dpop import origin_of, request_uri, target_uri


@pytest.mark.parametrize(
    ("uri", "normal"),
    [
        pytest.param("https://a.test", "https://a.test/", id="empty-path"),
        pytest.param("HTTPS://A.Test:443/X", "https://a.test/X", id="case-and-port"),
        pytest.param("http://a.test:80", "http://a.test/", id="http-port"),
        pytest.param("http://a.test:443/", "http://a.test:443/", id="port-of-another-scheme"),
        pytest.param("https://a.test:/x", "https://a.test/x", id="empty-port"),
        pytest.param("https://a.test:0443/", "https://a.test:0443/", id="port-with-a-zero"),
        pytest.param("https://a.test/x?y#z", "https://a.test/x", id="query-and-fragment"),
        pytest.param("https://a.test?y/../z", "https://a.test/", id="query-without-a-path"),
        pytest.param("https://a.test/%7euser/%3a%2F", "https://a.test/~user/%3A%2F", id="escapes"),
        pytest.param("https://a.test/a|b", "https://a.test/a%7Cb", id="what-browsers-leave"),
        pytest.param("https://%41.test/", "https://a.test/", id="escape-in-the-host"),
        pytest.param("https://a%2b.test/", "https://a%2B.test/", id="escape-that-stays"),
        pytest.param("https://[::1]:8443/", "https://[::1]:8443/", id="ipv6"),
        pytest.param("https://a.test/a/./b/../c", "https://a.test/a/c", id="dots"),
        pytest.param("https://a.test/a/..", "https://a.test/", id="dots-at-the-end"),
        pytest.param("https://a.test/a/.", "https://a.test/a/", id="dot-at-the-end"),
        pytest.param("https://a.test/../../x", "https://a.test/x", id="above-the-root"),
        pytest.param("https://a.test/%2e%2E/x", "https://a.test/x", id="escaped-dots"),
        pytest.param("https://a.test//x", "https://a.test//x", id="two-slashes"),
        pytest.param("https://a.test/x;p=1,2", "https://a.test/x;p=1,2", id="sub-delims"),
    ],
)
def test_normal_form(uri: str, normal: str) -> None:
    """One spelling for each target, which is its own normal form."""
    assert (normal, normal) == (target_uri(uri), target_uri(normal))


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/x",
        "a.test/x",
        "https:",
        "https://",
        "https:///x",
        "https://u@a.test/",
        "https://u:p@a.test/",
        "https://a.test:x/",
        "https://a.test:1:2/",
        "https://[::1/",
        "https://a.test\\x",
        "https://a.test/ x",
        "https://a.test/\n",
        "https://a.test/ü",
        "https://a.test/%",
        "https://a.test/%zz",
        "https://a.test/%2",
        "1://a.test/",
    ],
)
def test_no_target(uri: str) -> None:
    """What has no authority, or more than a host and a port, or a second reading, is refused."""
    with pytest.raises(ValueError, match=r"no URI|cut short"):
        target_uri(uri)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        pytest.param("/", "https://a.test/v1/", id="root"),
        pytest.param("/a%2fb/%7Euser", "https://a.test/v1/a%2Fb/~user", id="escapes"),
        pytest.param("/a|b", "https://a.test/v1/a%7Cb", id="what-browsers-leave"),
        pytest.param("//a/", "https://a.test/v1//a/", id="empty-segments"),
        pytest.param("/a/..b/.c/...", "https://a.test/v1/a/..b/.c/...", id="names-with-dots"),
        pytest.param("/a/%252e%252e/b", "https://a.test/v1/a/%252e%252e/b", id="escaped-escapes"),
        pytest.param("/..%2Fa", "https://a.test/v1/..%2Fa", id="escaped-slash"),
    ],
)
def test_path_of_a_request(path: str, normal: str) -> None:
    """Nothing is taken away from the path that the server has, and it is what a claim names."""
    assert normal == request_uri("https://a.test/v1", path) == target_uri(normal)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "*",
        "https://a.test/x",
        ".evil.test/x",
        "/a#",
        "/a#/../../b",
        "/a?b",
        "/a/../b",
        "/a/./b",
        "/..",
        "/.",
        "/a/..",
        "/a/.",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a/.%2e",
        "/a/%2e",
        "/a\\..\\b",
        "/a b",
        "/ü",
        "/%",
        "/%zz",
    ],
)
def test_path_that_no_proof_is_for(path: str) -> None:
    """What the router serves as it is, and a claim cannot name, or names something else by."""
    with pytest.raises(ValueError, match=r"no path|cut short"):
        request_uri("https://a.test", path)


segments = st.lists(st.sampled_from(["a", "b", ".", "..", ""]), max_size=6)


@given(segments)
def test_dots_as_pythons_own_parser_has_them(parts: list[str]) -> None:
    """`urljoin` resolves a reference by the same section, but keeps no empty segments apart."""
    path = "/" + "/".join(part for part in parts if part)

    expected = urljoin("https://a.test/", path)

    assert expected.rstrip("/") == target_uri(f"https://a.test{path}").rstrip("/")


paths = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\%?#"))


@given(paths)
def test_normalising_twice_changes_nothing(path: str) -> None:
    """Whatever the path."""
    once = target_uri(f"https://a.test/{path}")

    assert once == target_uri(once)


@given(st.text(alphabet="gb/.~-%2Ff", max_size=12))
def test_escaping_what_needs_none_changes_nothing(path: str) -> None:
    """Letters may be escaped; slashes may not."""
    try:
        plain = target_uri(f"https://a.test/{path}")
    except ValueError:
        return

    assert plain == target_uri(f"https://a.test/{path.replace('g', '%67').replace('~', '%7e')}")


@given(st.text())
def test_any_text(text: str) -> None:
    """It is a target, or refused with one error."""
    with suppress(ValueError):
        assert "://" in target_uri(text)


@pytest.mark.parametrize("uri", ["https://a.test?x", "https://a.test#x", "ftp://a.test", "x"])
def test_no_origin(uri: str) -> None:
    """What clients call a service has neither query nor fragment."""
    with pytest.raises(ValueError, match=r"no URI|query|https"):
        origin_of(uri)


def test_origin() -> None:
    """Without the slash at its end."""
    assert ("https://a.test", "https://a.test/v1") == (
        origin_of("HTTPS://A.test:443/"),
        origin_of("https://a.test/v1/"),
    )
