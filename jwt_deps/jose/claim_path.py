"""Read and write one claim of a JWT, by its name or by a dotted path into nested claims.

A claim whose own name has dots in it is a claim all the same: `https://api.example.com/user`.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["put_at", "value_at"]


def value_at(claims: Mapping[str, Any], path: str) -> Any:
    """Return the value of a claim; `None` when it is absent.

    Args:
        claims: the members of the token's payload.
        path: the claim's name, which comes first, or a dotted path: `realm.user`.
    """
    if path in claims or "." not in path:
        return claims.get(path)
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def put_at(claims: dict[str, Any], path: str, value: object) -> None:
    """Set a claim where `value_at` finds it.

    Objects on the way are copied, so that those of the caller stay as they are; what is not an
    object there is replaced by one.

    Args:
        claims: the members to change.
        path: the claim's name or a dotted path; with a slash in it, it is a name as it stands.
        value: the JSON value.
    """
    *outer, last = [path] if "/" in path else path.split(".")
    for name in outer:
        inner = claims.get(name)
        claims[name] = claims = dict(inner) if isinstance(inner, dict) else {}
    claims[last] = value
