"""Read and write one claim of a JWT, by its name or by a dotted path into nested claims.

A claim whose own name has dots in it is a claim all the same: `https://api.example.com/user`. On a
path, a name with dots is quoted: `resource_access."com.example.api".roles`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_MEMBER = re.compile(r'"([^"]+)"|([^".,]+)')
_QUOTED_PATH = re.compile(rf"(?:{_MEMBER.pattern})(?:\.(?:{_MEMBER.pattern}))*")


def check_claim_path(path: str) -> str:
    """Return a text that names one claim.

    Raises:
        ValueError: it is empty, names several with a comma, or has white space, dots or quotes that
            do not fit.
    """
    if not path.strip():
        raise ValueError("is empty: give it a value or leave it unset")
    if path != path.strip():
        raise ValueError("begins or ends with white space")
    if '"' in path and _QUOTED_PATH.fullmatch(path) is None:
        raise ValueError('has quotes that enclose no member of a path: realm."com.example".user')
    # A name with a slash in it may have anything else: `https://api.example.com/user`.
    if "" in path.split(".") and "/" not in path and '"' not in path:
        raise ValueError("has a dot without a name before or behind it")
    if "," in path and '"' not in path:
        raise ValueError("has a comma, and takes the name of one claim")
    return path


@lru_cache(maxsize=1024)  # names of the configuration, and never of a token
def _members(path: str) -> tuple[str, ...]:
    if '"' not in path:
        return tuple(path.split("."))
    return tuple(quoted or plain for quoted, plain in _MEMBER.findall(path))


def value_at(claims: Mapping[str, Any], path: str) -> Any:
    """Return the value of a claim by its name, which comes first, or a dotted path, or `None`."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in _members(path):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def written_members(path: str) -> tuple[str, ...]:
    """The names on a path, the outermost first, where `put_at` sets a claim."""
    return (path,) if "/" in path and '"' not in path else _members(path)


def put_at(claims: dict[str, Any], path: str, value: object) -> None:
    """Set a claim where `value_at` finds it.

    Objects on the way are copied, so that those of the caller stay as they are; what is not an
    object there is replaced by one. A path with a slash in it, and no quotes, is a name as it
    stands.
    """
    *outer, last = written_members(path)
    for name in outer:
        inner = claims.get(name)
        claims[name] = claims = dict(inner) if isinstance(inner, dict) else {}
    claims[last] = value
