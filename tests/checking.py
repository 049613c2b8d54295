"""Check a token with given keys: the two steps of `verify` that concern keys, without claims."""

import time
from dataclasses import dataclass
from typing import Any

from jwt_deps.keys import KeySet
from jwt_deps.settings.issuer_policy import accepted_types
from jwt_deps.tokens.verify import Verification


@dataclass
class _Accepted:
    algorithms: frozenset[str]
    types: frozenset[str] = accepted_types(["jwt", "at+jwt", "jose"])


@dataclass
class _Server:
    accepted: _Accepted
    max_token_size: int = 16384


def parsed_by(token: str, keys: KeySet) -> Verification:
    """Take a token apart whose algorithm the keys accept."""
    server: Any = _Server(_Accepted(keys.algorithms))
    return Verification(token, server, time.time)


def check_with(token: str, keys: KeySet) -> None:
    """Check the signature with the key that the set chooses."""
    parsed = parsed_by(token, keys)
    parsed.check_signature(keys.choose(parsed.algorithm, parsed.kid))
