"""Check a token with given keys: the two steps of `verify` that concern keys, without claims."""

from dataclasses import dataclass
from typing import Any, cast

from jwt_deps.keys import KeySet
from jwt_deps.settings.issuer_policy import accepted_types
from jwt_deps.tokens.verify import ParsedToken, check_signature, parse

MAX_SIZE = 16384


@dataclass
class _Accepted:
    algorithms: frozenset[str]
    types: frozenset[str] = accepted_types(["jwt", "at+jwt", "jose"])


def parsed_by(token: str, keys: KeySet) -> ParsedToken:
    """Take a token apart whose algorithm the keys accept."""
    return parse(token, cast("Any", _Accepted(keys.algorithms)), MAX_SIZE)


def check_with(token: str, keys: KeySet) -> None:
    """Check the signature with the key that the set chooses."""
    parsed = parsed_by(token, keys)
    check_signature(parsed, keys.choose(parsed.algorithm, parsed.kid))
