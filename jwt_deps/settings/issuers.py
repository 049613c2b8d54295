"""Tables of issuers: by the operator's names, and by `iss`."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import takewhile
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic_settings import BaseSettings

from jwt_deps.errors import ConfigurationError

from .issuer import IssuerSettings

__all__ = ["UserPrefix", "issuer_table", "prefixes_of", "settings_by_issuer"]


class UserPrefix(NamedTuple):
    """What stands before the ids of the users of one issuer.

    Attributes:
        text: the prefix.
        foreign: longer prefixes of other issuers that begin with it, which no id may have.
    """

    text: str
    foreign: tuple[str, ...] = ()


def prefixes_of(issuers: Mapping[str, IssuerSettings]) -> Mapping[str, UserPrefix]:
    """The prefix of each `iss`.

    Raises:
        ConfigurationError: two issuers have one.
    """
    texts = {
        name: f"{name}|" if one.user_id_prefix is None else one.user_id_prefix
        for name, one in issuers.items()
    }
    found: dict[str, UserPrefix] = {}
    ranked = sorted(texts.values())  # so that those that begin with a text are behind it
    for name, one in issuers.items():
        text = texts[name]
        behind = range(bisect_left(ranked, text) + 1, len(ranked))
        others = tuple(takewhile(_begins_with(text), map(ranked.__getitem__, behind)))
        if text in others:
            raise ConfigurationError(
                "prefix_twice",
                f"JWT_ISSUERS__{name.upper()}__USER_ID_PREFIX (user_id_prefix) is another issuer's "
                "too: two users with one sub would be one.",
            )
        found |= dict.fromkeys(one.accepted_issuers, UserPrefix(text, others))
    return found


def _begins_with(text: str) -> Callable[[str], bool]:
    return lambda other: other.startswith(text)


def issuer_table(value: Any) -> Any:
    """Build each issuer by itself, so that a sentence about one says which."""
    if not isinstance(value, Mapping):
        return value
    built = {}
    for name, members in value.items():
        try:
            built[name] = _issuer(str(name), members)
        except ConfigurationError as error:
            variable, said = f"JWT_ISSUERS__{str(name).upper()}__", error.message
            if variable not in said:
                said = said.replace("JWT_", variable)
            raise ConfigurationError(error.reason, said) from None
    return built


def _issuer(name: str, members: Any) -> IssuerSettings:
    # JWTSettings say more than those of an issuer, which would not count here.
    if isinstance(members, IssuerSettings) and not isinstance(members, BaseSettings):
        return members
    if not isinstance(members, dict):
        raise ConfigurationError(
            "issuer_form",
            f"JWT_ISSUERS__{name.upper()} (issuers) has to be IssuerSettings: "
            f"JWT_ISSUERS__{name.upper()}__ISSUER and so on.",
        )
    return IssuerSettings(**{str(name): value for name, value in members.items()})


def settings_by_issuer(issuers: Mapping[str, IssuerSettings]) -> Mapping[str, IssuerSettings]:
    """Which settings hold for which `iss`: every one for exactly one."""
    routes: dict[str, IssuerSettings] = {}
    for name, settings in issuers.items():
        label = f"JWT_ISSUERS__{name.upper()}__"
        if not settings.accepted_issuers:
            raise ConfigurationError("issuer_unnamed", f"{label}ISSUER (issuer) is missing.")
        if settings.verify_audience and not settings.accepted_audiences:
            raise ConfigurationError(
                "issuer_audience",
                f"{label}AUDIENCE (audience) is missing; {label}VERIFY_AUDIENCE=false "
                "(verify_audience) accepts tokens for any service.",
            )
        for issuer in settings.accepted_issuers:
            if issuer in routes:
                raise ConfigurationError(
                    "issuer_twice", f"{label}ISSUER (issuer) names another one's issuer."
                )
            routes[issuer] = settings
    return MappingProxyType(routes)
