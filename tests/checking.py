"""Check a token with given keys: the two steps of `verify` that concern keys, without claims."""

from jwt_deps.keys import KeySet
from jwt_deps.tokens.verify import ParsedToken, check_signature, parse

MAX_SIZE = 16384


def parsed_by(token: str, keys: KeySet) -> ParsedToken:
    """Take a token apart whose algorithm the keys accept."""
    return parse(token, keys.algorithms, MAX_SIZE)


def check_with(token: str, keys: KeySet) -> None:
    """Check the signature with the key that the set chooses."""
    parsed = parsed_by(token, keys)
    check_signature(parsed, keys.choose(parsed.algorithm, parsed.kid))
