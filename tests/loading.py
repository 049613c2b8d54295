"""Modules that are executed again."""

from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

__all__ = ["loaded_anew"]


def loaded_anew(module: ModuleType) -> Any:
    """A module as it would be imported now, beside the one that is in use."""
    spec = module.__spec__
    if spec is None or spec.loader is None:
        raise ValueError(module)
    anew = module_from_spec(spec)
    spec.loader.exec_module(anew)
    return anew
