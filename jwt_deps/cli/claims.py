"""What does a development token say? Claims from options, under the names that settings give."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jwt_deps.jose.encoding import parse_object
from jwt_deps.settings.issuer import IssuerSettings

__all__ = ["Names", "claim", "placed"]


@dataclass(frozen=True, slots=True)
class Names:
    """Which claims hold what, and whose token it is.

    Attributes:
        user, session, scopes: claim names; a dotted path reaches into nested claims.
        audience: a claim name.
        iss, aud: what is accepted, the first of several; `None` when unchecked.
    """

    user: str = "sub"
    session: str = "session_id"
    scopes: str = "scope"
    audience: str = "aud"
    iss: str | None = None
    aud: str | None = None

    @classmethod
    def of(cls, settings: IssuerSettings) -> "Names":
        """The names that settings read."""
        return cls(
            user=settings.user_id_claim,
            session=settings.session_id_claim,
            scopes=settings.scopes_claim or "scope",
            audience=settings.audience_claim,
            iss=next(iter(settings.accepted_issuers), None),
            aud=next(iter(settings.accepted_audiences), None),
        )


def claim(text: str) -> tuple[str, Any]:
    """Read `name=value`; the value is JSON where it can be read as such, and text elsewhere.

    Raises:
        ValueError: there is no name.
    """
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ValueError('a claim is written name=value, for example tenant=7 or roles=["a"]')
    return name, _json_or_text(value)


def placed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Put values under dotted paths, `realm.user` into `{"realm": {"user": ...}}`; leave out None.

    A name that is an address, `https://api.example.com/user`, has dots of its own.
    """
    claims: dict[str, Any] = {}
    for path, value in values.items():
        if value is None:
            continue
        *outer, last = [path] if "/" in path else path.split(".")
        members = claims
        for name in outer:
            inner = members.setdefault(name, {})
            if not isinstance(inner, dict):  # one path goes through what another one ends in
                inner = members[name] = {}
            members = inner
        members[last] = value
    return claims


def _json_or_text(value: str) -> Any:
    try:
        # As strictly as a token is read, which takes objects only.
        read: Mapping[str, Any] = parse_object(f'{{"value":{value}}}'.encode())
    except ValueError:
        return value
    return read["value"] if read.keys() == {"value"} else value
