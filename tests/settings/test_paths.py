"""Path patterns: which templates they match, and what an exclusion can be."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps import ConfigurationError, JWTSettings
from jwt_deps.settings import PathPatterns, split_exclusions
from tests.minting import SECRET
from tests.property.strategies import reproducible


async def health() -> None: ...


async def ready() -> None: ...


class Files:
    def __call__(self) -> None: ...


class TestMatch:
    @pytest.mark.parametrize(
        ("pattern", "template", "matches"),
        [
            pytest.param("/health", "/health", True, id="equal"),
            pytest.param("/health", "/healthy", False, id="a-prefix-is-not-enough"),
            pytest.param("health", "/health", False, id="nor-is-a-suffix"),
            pytest.param("/health", "/Health", False, id="case"),
            pytest.param("/docs/*", "/docs/a", True, id="star"),
            pytest.param("/docs/*", "/docs/a/b", True, id="star-matches-slashes"),
            pytest.param("/docs/*", "/docs/", True, id="star-matches-nothing"),
            pytest.param("/docs/*", "/docs", False, id="what-is-before-the-star-is-required"),
            pytest.param("*/health", "/v1/health", True, id="star-first"),
            pytest.param("/*/notes/*", "/v1/notes/{note_id}", True, id="several-stars"),
            pytest.param("/**", "/a/b", True, id="two-stars-are-one"),
            pytest.param("/a*", "/a\nb", True, id="star-matches-line-breaks"),
            pytest.param("/a", "/a\n", False, id="a-final-line-break-counts"),
            pytest.param("/notes/{id}", "/notes/{id}", True, id="parameters-are-text"),
            pytest.param("/v?", "/v1", False, id="question-mark"),
            pytest.param("/v?", "/v?", True, id="question-mark-itself"),
            pytest.param("/v[12]", "/v1", False, id="brackets"),
            pytest.param("/v[12]", "/v[12]", True, id="brackets-themselves"),
            pytest.param("/v.", "/v1", False, id="dot"),
            pytest.param("/a|/b", "/b", False, id="bar"),
        ],
    )
    def test_star_is_the_only_wildcard(self, pattern: str, template: str, *, matches: bool) -> None:
        """It stands for any characters, and a pattern for the whole template."""
        assert matches is PathPatterns([pattern]).match(template)
        assert ([] if matches else [pattern]) == PathPatterns([pattern]).unmatched([template])

    def test_one_of_several(self) -> None:
        """Is enough, each time that it is asked for."""
        patterns = PathPatterns(["/a", "/b*"])

        assert [True, True, False] == [patterns.match(path) for path in ("/a", "/b1", "/c")]
        assert [True, True, False] == [patterns.match(path) for path in ("/a", "/b1", "/c")]

    def test_no_patterns(self) -> None:
        """Match nothing."""
        assert not PathPatterns([]).match("")

    def test_unmatched(self) -> None:
        """Each pattern that matches none of the templates, in its place."""
        patterns = PathPatterns(["/x", "/a", "/[ab]"])

        assert ["/x", "/[ab]"] == patterns.unmatched(iter(["/a", "/b"]))

    @reproducible
    @given(
        st.lists(st.text("/a*?[]{}.|\n", max_size=8).filter(str.strip), max_size=3),
        st.lists(st.text("/a*?[]{}.|\n", max_size=8), max_size=3),
    )
    def test_as_the_definition_says(self, patterns: list[str], templates: list[str]) -> None:
        """Compared with a reference that knows no regular expressions."""
        compiled = PathPatterns(patterns)

        for template in templates:
            assert compiled.match(template) is any(matches(it, template) for it in patterns)
        assert compiled.unmatched(templates) == [
            pattern for pattern in patterns if not any(matches(pattern, it) for it in templates)
        ]

    @reproducible
    @given(st.lists(st.text("/ab?[]", max_size=4), min_size=2, max_size=5), st.data())
    def test_any_text_in_place_of_the_stars(self, parts: list[str], data: st.DataObject) -> None:
        """Gives a template that the pattern matches."""
        template = parts[0]
        for part in parts[1:]:
            template += data.draw(st.text()) + part

        assert PathPatterns(["*".join(parts)]).match(template)


def matches(pattern: str, template: str) -> bool:
    """The reference: `*` takes no character, or one and goes on."""
    if not pattern:
        return not template
    if pattern[0] == "*":
        return matches(pattern[1:], template) or (template != "" and matches(pattern, template[1:]))
    return template[:1] == pattern[0] and matches(pattern[1:], template[1:])


WRONG = [
    pytest.param(None, "NoneType", id="none"),
    pytest.param(Path("/health"), "PosixPath", id="path"),
    pytest.param(re.compile("/health"), "Pattern", id="regular-expression"),
    pytest.param(b"/health", "bytes", id="bytes"),
    pytest.param(bytearray(b"/health"), "bytearray", id="bytearray"),
    pytest.param(7, "int", id="number"),
    pytest.param(True, "bool", id="boolean"),
]


class TestExclusions:
    def test_are_split(self) -> None:
        """Strings are patterns, callables are endpoints; the order stays."""
        patterns, endpoints = split_exclusions(["/a", health, "/b/*", ready])

        assert (("/a", "/b/*"), (health, ready)) == (patterns.patterns, endpoints)

    @pytest.mark.parametrize(
        "endpoint",
        [health, Files, Files(), Files().__call__],
        ids=["function", "class", "object", "method"],
    )
    def test_a_single_endpoint(self, endpoint: Callable[..., Any]) -> None:
        """Is taken as a list of one."""
        patterns, endpoints = split_exclusions(endpoint)  # type: ignore[arg-type]

        assert ((), (endpoint,)) == (patterns.patterns, endpoints)

    def test_a_single_pattern(self) -> None:
        """Is not taken as a list of characters."""
        patterns, endpoints = split_exclusions("/health")

        assert (("/health",), ()) == (patterns.patterns, endpoints)
        assert ("/health",) == PathPatterns("/health").patterns

    @pytest.mark.parametrize("container", [tuple, set, frozenset, iter])
    def test_in_any_container(self, container: Callable[[list[str]], Any]) -> None:
        """Also in one that can be read only once."""
        assert ("/a",) == split_exclusions(container(["/a"]))[0].patterns

    @pytest.mark.parametrize(("wrong", "kind"), WRONG)
    @pytest.mark.parametrize("within", [False, True], ids=["itself", "in-a-list"])
    def test_of_a_wrong_kind(self, wrong: Any, kind: str, *, within: bool) -> None:
        """The sentence names the type, and says what is taken."""
        with pytest.raises(ConfigurationError) as caught:
            split_exclusions([health, wrong] if within else wrong)

        assert (
            f"An exclusion of type {kind} cannot be used: exclusions are endpoints themselves and "
            "path patterns, which are strings with * for any characters ('/docs/*')."
        ) == caught.value.message

    @pytest.mark.parametrize(("wrong", "kind"), [*WRONG, pytest.param(health, "function")])
    @pytest.mark.parametrize("within", [False, True], ids=["itself", "in-a-list"])
    def test_where_only_patterns_are_taken(self, wrong: Any, kind: str, *, within: bool) -> None:
        """In the audit's `allow`, an endpoint is of a wrong kind too."""
        with pytest.raises(ConfigurationError) as caught:
            PathPatterns(["/a", wrong] if within else wrong)

        assert (
            f"An exclusion of type {kind} cannot be used: exclusions are path patterns, which are "
            "strings with * for any characters ('/docs/*')."
        ) == caught.value.message

    @pytest.mark.parametrize("empty", ["", " \t"], ids=["empty", "blank"])
    def test_attack_an_empty_one(self, empty: str) -> None:
        """It would open what is mounted at `/`, by a comma too many in the environment."""
        for build in (split_exclusions, PathPatterns):
            with pytest.raises(ConfigurationError, match="An exclusion is empty"):
                build(["/health", empty])
        with pytest.raises(ConfigurationError, match="An exclusion is empty"):
            JWTSettings(secret_key=SECRET, excluded_route_paths=f"/health,{empty}")

    @pytest.mark.parametrize(("wrong", "kind"), [*WRONG, pytest.param(health, "function")])
    @pytest.mark.parametrize("within", [False, True], ids=["itself", "in-a-list"])
    def test_in_the_settings(self, wrong: Any, kind: str, *, within: bool) -> None:
        """`excluded_route_paths` takes patterns alone, and bytes are not among them."""
        with pytest.raises(ConfigurationError) as caught:
            JWTSettings(secret_key=SECRET, excluded_route_paths=[wrong] if within else wrong)

        assert "JWT_EXCLUDED_ROUTE_PATHS (excluded_route_paths): has to be" in caught.value.message
        assert "strings with * for any characters" in caught.value.message
        assert kind not in caught.value.message
