"""The catalogue of questions, which is data: what is sent, and what has to come.

A file of `rules/` is a document, of the same form as the catalogue of this package's own tests:
its `title`, its `address`, and `rules` with an `id`, the `section` and what it asks (`text`). Here
a rule has a `level` too, what it `needs`, what is sent (`send`) and what has to come (`expect`).
It is one question, or one for each of its `cases`, whose members are added to `send`.

Members of `send` that make the token; a string that begins with `$` names a value (`requests.py`):

    header, claims            members in place of those of a good token; "$absent" removes one
    header_text, claims_text  the JSON text; `$members` is the good one without its braces
    key = "other"             sign with another key of the same algorithm
    secret                    sign with HMAC and this text, by the `alg` of the header
    signature                 a change of the signature, by its name
    forged_header, forged_claims  members that are replaced after signing
    token                     the text of the token; `$h`, `$p` and `$s` are its parts
    proof                     the same members, for the DPoP proof

and those that make the request:

    lines          header lines; `$token`, `$good` (a good token) and `$proof` in their places
    method, at     the method, and the address: guarded, public, post, websocket, step_up, metadata
    query, form    a query string, a form body
    first          members of a request that goes before
    again          send the same request twice, and judge the second
    times          make and send so many, and judge each
    issuer         what the issuer does before: a name in `asking.py`

Members of `expect`, or the name of one of `expectations.toml`:

    status                    accepted status codes; "2xx"; a WebSocket's close code
    scheme, error, has, lacks  a challenge of that scheme, its error, parameters that it has or not
    challenge                 "one": parameters occur once; "plain": RFC 6750 §3's characters
    json, headers             members of the body or headers that are equal; "$any" is any value
    silent                    no part of the token is in the answer
    fetches                   at most so many requests of the issuer's endpoint
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `level` is MUST, SHOULD, or DIFFERS where specifications leave it open."""

    id: str
    rule: str
    section: str
    level: str
    text: str
    needs: frozenset[str]
    send: Mapping[str, Any]
    expect: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A specification and its questions."""

    name: str
    title: str
    address: str
    questions: tuple[Question, ...]


@cache
def documents() -> tuple[Document, ...]:
    """Read the catalogue, in the order in which it is asked."""
    expectations = tomllib.loads((_HERE / "expectations.toml").read_text())
    return tuple(_document(path, expectations) for path in sorted((_HERE / "rules").glob("*.toml")))


def _document(path: Path, expectations: Mapping[str, Any]) -> Document:
    read = tomllib.loads(path.read_text())
    found = tuple(it for rule in read["rules"] for it in _questions(rule, read, expectations))
    return Document(path.stem, read["title"], read["address"], found)


def _questions(
    rule: Mapping[str, Any], document: Mapping[str, Any], expectations: Mapping[str, Any]
) -> Iterator[Question]:
    for name, case in rule.get("cases", {"": {}}).items():
        expect = rule["expect"]
        yield Question(
            f"{rule['id']}.{name}" if name else rule["id"],
            rule["id"],
            rule["section"],
            rule["level"],
            rule["text"],
            frozenset((*document.get("needs", ()), *rule.get("needs", ()), *case.get("needs", ()))),
            {**document.get("send", {}), **rule.get("send", {}), **case},
            expectations[expect] if isinstance(expect, str) else expect,
        )
