"""Merge given members into the defaults of a JOSE header, a claims set or other JSON object."""

from collections.abc import Mapping
from typing import Any


def merge(defaults: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the defaults with the given members in their place, without those that are `None`."""
    members = {**defaults, **(given or {})}
    return {name: value for name, value in members.items() if value is not None}
