"""Read a claim from an option of the command line."""

from typing import Any

from jwt_deps.jose import parse_object

__all__ = ["claim"]


def claim(text: str) -> tuple[str, Any]:
    """Read `name=value`; the value is JSON where it can be read as such, and text elsewhere.

    Raises:
        ValueError: there is no name.
    """
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ValueError('a claim is written name=value, for example tenant=7 or roles=["a"]')
    return name, _json_or_text(value)


def _json_or_text(value: str) -> Any:
    try:
        # As strictly as a token is read, which takes objects only.
        read = parse_object(f'{{"value":{value}}}'.encode())
    except ValueError:
        return value
    return read["value"] if read.keys() == {"value"} else value
