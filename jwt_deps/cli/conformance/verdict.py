"""Compare an answer with what is expected."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_SCHEME = re.compile(r"\s*([!#$%&'*+.^_`|~\w-]+)(?:\s+|$)(?!=)")
_PARAMETER = re.compile(r'\s*([!#$%&\'*+.^_`|~\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+)\s*(?:,|$)')
_PART = 20  # characters that no answer has by chance
#: RFC 6750 §3: what may be in these parameters.
_CHARACTERS = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]*")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the status, or the code with which a WebSocket was closed; 0 is no answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: str = field(default="", repr=False)
    json: Any = field(default=None, repr=False)

    def values(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for other, value in self.headers if other.lower() == name]

    def has_part_of(self, token: str) -> bool:
        """Whether a part of a token is in the body or the headers."""
        said = self.body + "".join(value for _, value in self.headers)
        return any(len(part) >= _PART and part in said for part in token.split("."))

    def __str__(self) -> str:
        said = "; ".join(self.values("www-authenticate"))
        return " ".join(filter(None, (str(self.status or "no answer"), said[:300])))


def faults(
    expect: Mapping[str, Any], answer: Answer, token: str, fetched: Mapping[str, int]
) -> list[str]:
    """Return what is wrong with an answer; nothing if it is as expected."""
    return list(_faults(expect, answer, token, fetched))


def _faults(
    expect: Mapping[str, Any], answer: Answer, token: str, fetched: Mapping[str, int]
) -> Iterator[str]:
    accepted = expect.get("status", ())
    if accepted and not {answer.status, f"{answer.status // 100}xx"} & set(accepted):
        yield f"status {answer.status}"
    if {"scheme", "challenge"} & expect.keys():
        yield from _challenge_faults(expect, answer)
    for name, value in expect.get("headers", {}).items():
        if value not in [part for it in answer.values(name) for part in (it, it.partition(";")[0])]:
            yield f"no {name}: {value}"
    members = answer.json if isinstance(answer.json, dict) else {}
    for name, value in expect.get("json", {}).items():
        if name not in members or value not in ("$any", members[name]):
            yield f"no member {name}"
    if expect.get("silent") and answer.has_part_of(token):
        yield "a part of the token is in the answer"
    for endpoint, number in fetched.items():
        if number > expect.get("fetches", {}).get(endpoint, number):
            yield f"{number} requests of {endpoint}"


def _challenge_faults(expect: Mapping[str, Any], answer: Answer) -> Iterator[str]:
    scheme = expect.get("scheme", "Bearer")
    found = [
        parameters
        for header in answer.values("www-authenticate")
        for name, parameters in _challenges(header)
        if name.lower() == scheme.lower()
    ]
    if not found:
        if "scheme" in expect:
            yield f"no {scheme} challenge"
        return
    names = [name for name, _ in found[0]]
    values = dict(found[0])
    if "error" in expect and values.get("error") != expect["error"]:
        yield f"error is {values.get('error', 'absent')}"
    yield from (f"no {name}" for name in expect.get("has", ()) if not values.get(name))
    yield from (f"it has {name}" for name in expect.get("lacks", ()) if name in values)
    if expect.get("challenge") == "one" and len(names) > len(values):
        yield "a parameter occurs twice"
    if expect.get("challenge") == "plain":
        told = (values.get(name, "") for name in ("error", "error_description", "scope"))
        if not all(map(_CHARACTERS.fullmatch, told)):
            yield "a character that is not allowed"


def _challenges(header: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Iterate over the challenges of a header (RFC 9110 §11.6.1)."""
    position = 0
    while (scheme := _SCHEME.match(header, position)) is not None:
        position, parameters = scheme.end(), []
        while (parameter := _PARAMETER.match(header, position)) is not None:
            position = parameter.end()
            value = parameter[2]
            quoted = value.startswith('"')
            parameters.append((parameter[1].lower(), value[1:-1] if quoted else value))
        yield scheme[1], parameters
