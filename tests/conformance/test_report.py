"""The committed conformance report is the one that the tests would write."""

import os

import pytest

from tests.conformance import report as reporting
from tests.conformance.catalog import Document, Rule, documents, is_named
from tests.conformance.evidence import missing

DOCUMENTS = [pytest.param(document, id=document.name) for document in documents()]
RULES = [rule for document in documents() for rule in document.rules]
OWN = "tests/conformance/test_report.py"
HERE = f"{OWN}::test_identifiers"


def test_the_report_and_its_pages_are_up_to_date() -> None:
    """And the table of SECURITY.md; JWT_DEPS_UPDATE_DOCS=1 writes them."""
    found = reporting.report()
    true = {
        reporting.REPORT: reporting.as_json(found),
        reporting.PAGE: reporting.as_page(found),
        reporting.SECURITY: reporting.as_promises(reporting.SECURITY.read_text()),
    }
    if os.environ.get("JWT_DEPS_UPDATE_DOCS"):
        for path, text in true.items():
            path.write_text(text)
    for path, text in true.items():
        message = f"{path.name} is out of date: run this with JWT_DEPS_UPDATE_DOCS=1"
        assert text == path.read_text(), message


def test_identifiers() -> None:
    """No two rules have the same."""
    names = [rule.id for rule in RULES]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_rule_is_of_its_document(document: Document) -> None:
    """Its id begins with the document's name."""
    prefix = document.name

    assert [] == [rule.id for rule in document.rules if not rule.id.startswith(f"{prefix}-")]


def test_every_rule_is_shown_or_says_why_not() -> None:
    """And the tests that it names exist, unless they are planned."""
    assert [] == [it.id for it in RULES if not (it.tests or it.reason or it.planned)]
    assert {} == {it.id: it.unknown for it in RULES if it.unknown and not it.planned}


class TestEvidence:
    """What a whole run is asked."""

    @pytest.mark.parametrize(
        ("rule", "outcomes", "expected"),
        [
            pytest.param(Rule("a", "1", "", (HERE,)), {HERE: "passed"}, [], id="passed"),
            pytest.param(
                Rule("a", "1", "", (HERE,)), {f"{HERE}[x]": "passed"}, [], id="of-several"
            ),
            pytest.param(Rule("a", "1", "", (HERE,)), {HERE: "skipped"}, [], id="skipped"),
            pytest.param(
                Rule("a", "1", "", (HERE,)), {HERE: "failed"}, [f"a: {HERE} failed"], id="failed"
            ),
            pytest.param(
                Rule("a", "1", "", (f"{HERE}[gone]",)),
                {f"{HERE}[x]": "passed"},
                [f"a: {HERE}[gone] is no test of this run"],
                id="parameter-that-is-gone",
            ),
            pytest.param(Rule("a", "1", "", reason="why"), {}, [], id="not-shown"),
            pytest.param(
                Rule("a", "1", "", ("tests/x.py::y",), planned="dpop"), {}, [], id="planned"
            ),
        ],
    )
    def test_missing(self, rule: Rule, outcomes: dict[str, str], expected: list[str]) -> None:
        """A test that is named, and did not run or pass, is reported with its rule."""
        assert expected == missing([rule], outcomes)

    def test_without_what_a_folder_reads(self) -> None:
        """A checkout alone has no third-party vectors, and shows what they do not."""
        rule = Rule("a", "1", "", ("tests/vectors/test_x.py::y",))

        assert [] == missing([rule], {}, ("tests/vectors/",))

    @pytest.mark.parametrize(
        ("test", "unknown"),
        [
            pytest.param(HERE, (), id="function"),
            pytest.param(f"{OWN}::TestEvidence::test_missing[passed]", (), id="method"),
            pytest.param(f"{OWN}::TestEvidence", (), id="class"),
            pytest.param(OWN, (), id="file"),
            pytest.param(f"{OWN}::test_none", (f"{OWN}::test_none",), id="no-function"),
            pytest.param("tests/none.py::test", ("tests/none.py::test",), id="no-file"),
        ],
    )
    def test_unknown(self, test: str, unknown: tuple[str, ...]) -> None:
        """A name without a test is told, whether or not anything ran."""
        assert unknown == Rule("a", "1", "", (test,)).unknown

    @pytest.mark.parametrize(
        ("nodeid", "expected"),
        [
            pytest.param("f.py::test", True, id="itself"),
            pytest.param("f.py::test[a]", True, id="with-parameters"),
            pytest.param("f.py::test::inner", True, id="inside"),
            pytest.param("f.py::test_other", False, id="longer-name"),
        ],
    )
    def test_named(self, nodeid: str, expected: bool) -> None:  # noqa: FBT001
        """The name of a test is that of all its parameters, and of no other test."""
        assert expected == is_named("f.py::test", nodeid)
