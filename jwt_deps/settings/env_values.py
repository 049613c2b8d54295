"""How is a list written in one variable? As JSON, or with commas; and errors without values."""

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsError

__all__ = [
    "NoneOrSeveral",
    "OneOrSeveral",
    "Secrets",
    "SettingsWithoutMethod",
    "Several",
    "as_tuple",
    "sentence",
]


def _json_list(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            # `from None`: the parser's error holds the text, which may be a secret.
            raise ValueError("begins like a JSON array and is none") from None
    return value


def _one_or_several(value: Any) -> Any:
    """`"a"` stays one name; `"a,b"` and `'["a", "b"]'` become a list, as environments have it."""
    value = _json_list(value)
    if isinstance(value, str) and "," in value:
        return [part.strip() for part in value.split(",")]
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return value


def _several(value: Any) -> Any:
    value = _one_or_several(value)
    if isinstance(value, str):
        return [value] if value else []
    return value


def _several_secrets(value: Any) -> Any:
    """As `_several`, but a comma can be part of a secret."""
    value = _json_list(value)
    return [value] if isinstance(value, str | SecretStr) else value


OneOrSeveral = Annotated[str | list[str], NoDecode, BeforeValidator(_one_or_several)]
NoneOrSeveral = Annotated[str | list[str] | None, NoDecode, BeforeValidator(_one_or_several)]
Several = Annotated[list[str], NoDecode, BeforeValidator(_several)]
Secrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_several_secrets)]


def sentence(error: ValidationError | SettingsError) -> str:
    """Say what is wrong with which setting, without a value: it may be a secret."""
    if isinstance(error, SettingsError):
        return f"The environment cannot be read: {str(error).splitlines()[0]}."
    parts = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "is no setting"
        label = f"JWT_{name.upper()} ({name})" if name else "settings"
        part = f"{label}: {message}"
        if part not in parts:
            parts.append(part)
    return "; ".join(parts) + "."


def as_tuple(value: str | list[str] | None) -> tuple[str, ...]:
    """One, several or none, as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


class _Missing:
    """A descriptor that reports its attribute as missing from the class."""

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError


class _WithoutMethod:
    # The field `validate` has the name of a deprecated classmethod of BaseModel. pydantic 2.9 to
    # 2.11 takes that method for the field's default in every subclass, and all versions warn about
    # the name. This class precedes BaseModel, so pydantic finds no such attribute.
    validate = _Missing()


class SettingsWithoutMethod(_WithoutMethod, BaseSettings):
    """Settings that can have a field called `validate`."""
