"""Audits as JSON and Markdown, and their comparison."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps.audit import Audit, AuditedRoute, Verdict, as_json, as_markdown, compare, from_json

ROUTE = AuditedRoute(
    "/x",
    ("GET",),
    "main.read",
    Verdict.GUARDED,
    "its guard",
    "own: HS256",
    ("a", "b|c"),
    ("acr=x",),
)
AUDIT = Audit((ROUTE,), ("Something is wrong.",))

texts = st.text(max_size=20)
routes = st.builds(
    AuditedRoute,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    texts,
    st.sampled_from(Verdict),
    texts,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
    st.none() | texts,
)
sentences = st.lists(texts).map(tuple)
audits = st.builds(Audit, st.lists(routes, max_size=4).map(tuple), sentences, sentences)


class TestJSON:
    @given(audits)
    def test_what_is_written_can_be_read(self, audit: Audit) -> None:
        assert audit == from_json(as_json(audit))

    def test_its_members(self) -> None:
        assert {
            "version": 1,
            "ok": False,
            "problems": ["Something is wrong."],
            "routes": [
                {
                    "path": "/x",
                    "methods": ["GET"],
                    "endpoint": "main.read",
                    "verdict": "guarded",
                    "why": "its guard",
                    "settings": "own: HS256",
                    "scopes": ["a", "b|c"],
                    "requires": ["acr=x"],
                }
            ],
        } == json.loads(as_json(AUDIT))

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("", id="nothing"),
            pytest.param("[]", id="list"),
            pytest.param('{"version": 2}', id="another-version"),
            pytest.param('{"version": 1}', id="no-routes"),
            pytest.param('{"version": 1, "routes": [{}], "problems": []}', id="no-members"),
            pytest.param('{"version": 1, "routes": [1], "problems": []}', id="no-route"),
            pytest.param('{"version": 1, "routes": 1, "problems": []}', id="no-list"),
            pytest.param(as_json(AUDIT).replace("guarded", "x"), id="no-verdict"),
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        """An audit that was cut short must not pass for one without routes."""
        with pytest.raises(ValueError, match=r"audit|Expecting|not a valid"):
            from_json(text)


class TestMarkdown:
    def test_the_table(self) -> None:
        unguarded = replace(
            ROUTE, verdict=Verdict.UNGUARDED, why="none", scopes=(), settings="", requires=()
        )
        asked = replace(ROUTE, answer="401")

        assert (
            "**1 guarded, 0 public, 1 unguarded**\n"
            "\n"
            "| Route | Verdict | Why | Scopes | Settings |\n"
            "|---|---|---|---|---|\n"
            "| GET /x | guarded | its guard; answered 401 | a b\\|c acr=x | own: HS256 |\n"
            "| GET /x | **unguarded** | none |  |  |\n"
            "\n"
            "- Something is wrong.\n"
        ) == as_markdown(Audit((asked, unguarded), AUDIT.problems))

    def test_notes_are_told_apart(self) -> None:
        """They are in the same list, and are no problems."""
        text = as_markdown(Audit((ROUTE,), ("Wrong.",), ("Perhaps wrong.",)))

        assert text.endswith("\n\n- Wrong.\n- Note: Perhaps wrong.\n")

    def test_without_problems_there_is_no_list(self) -> None:
        assert as_markdown(Audit((ROUTE,))).endswith("own: HS256 |\n")

    def test_a_path_is_no_markup(self) -> None:
        """The name of a route cannot add markup to the pull request."""
        path = "/<img src=x>|`a`*b*_c_[d](e)\n\\"

        (row,) = [line for line in as_markdown(Audit((replace(ROUTE, path=path),))).splitlines() if "img" in line]  # fmt: skip  # noqa: E501

        assert row.startswith("| GET /\\<img src=x\\>\\|\\`a\\`\\*b\\*\\_c\\_\\[d\\](e) \\\\ |")


CHANGES: list[Any] = [
    pytest.param((), ["- GET /x: was guarded"], id="gone"),
    pytest.param(
        (ROUTE, replace(ROUTE, path="/y", verdict=Verdict.PUBLIC, why="@public")),
        ["+ GET /y: public, @public"],
        id="new",
    ),
    pytest.param(
        (replace(ROUTE, verdict=Verdict.UNGUARDED, why="none", settings="", scopes=()),),
        [
            (
                "~ GET /x: verdict was guarded, is unguarded, why was its guard, is none, settings "
                "was own: HS256, is none, scopes was a b|c, is none"
            )
        ],
        id="opened",
    ),
    pytest.param(
        (replace(ROUTE, scopes=("a",)),), ["~ GET /x: scopes was a b|c, is a"], id="a-scope-less"
    ),
    pytest.param(
        (replace(ROUTE, settings="JWT_*: HS256"),),
        ["~ GET /x: settings was own: HS256, is JWT_*: HS256"],
        id="other-settings",
    ),
    pytest.param((ROUTE, ROUTE), ["+ GET /x: guarded, its guard"], id="twice"),
    pytest.param((replace(ROUTE, endpoint="main.other"),), [], id="renamed"),
    pytest.param((replace(ROUTE, answer="401"),), [], id="asked"),
]


class TestComparison:
    @pytest.mark.parametrize(("routes", "changes"), CHANGES)
    def test_what_changed_is_told(
        self, routes: tuple[AuditedRoute, ...], changes: list[str]
    ) -> None:
        """A line each, and nothing else."""
        assert changes == compare(Audit((ROUTE,)), Audit(routes))

    def test_problems_come_and_go(self) -> None:
        """Those that stay were known."""
        before, after = Audit((), ("stays", "goes")), Audit((), ("stays", "comes"))

        assert ["+ comes", "- goes"] == compare(before, after)

    @given(audits)
    def test_nothing_changed(self, audit: Audit) -> None:
        """Between an audit and itself."""
        assert [] == compare(audit, audit)
