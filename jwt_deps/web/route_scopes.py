"""Scopes by method and template, for routes that another package defines."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from starlette.types import Scope

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import expression_of
from jwt_deps.tokens import are_parameters, is_scope

#: The type of a parameter in a template, `{id:int}`, which a rule may leave out.
_TYPE = re.compile(r":\w+(?=\})")


class _Rule(NamedTuple):
    name: str
    method: str | None
    template: re.Pattern[str]
    scopes: tuple[str, ...]


class RouteScopes:
    """What a guard asks of the routes that it applies to.

    Args:
        given: the scopes, all of which are needed, by `"POST /agents/{agent_id}/runs"`: a method,
            `WEBSOCKET`, or none for each of them, and a whole template, in which `*` is any text.

    Raises:
        ConfigurationError: something else.
    """

    def __init__(self, given: Mapping[str, Any] | None) -> None:
        try:
            self.rules = tuple(_rule(name, scopes) for name, scopes in dict(given or {}).items())
        except (AttributeError, TypeError, ValueError):
            raise ConfigurationError(
                "route_scopes",
                "scopes takes a mapping from a method and a template to one or more scopes: "
                '{"POST /agents/{agent_id}/runs": ["agents:{agent_id}:run"]}.',
            ) from None

        self._methods = frozenset(it.method for it in self.rules)
        # As many as the application has routes, for each of the methods above.
        self._known: dict[tuple[Any, ...], tuple[_Rule, ...]] = {}

    def needed(self, paths: Collection[str], methods: Collection[str]) -> list[str]:
        """The scopes that a route needs.

        Args:
            paths: its templates; none if they are not known.
            methods: of the request, or all of the route; none if they are not known.
        """
        return [scope for rule in self._rules_for(paths, methods) for scope in rule.scopes]

    def idle(self, routes: Iterable[tuple[Collection[str], Collection[str]]]) -> Iterator[str]:
        """The names of the rules that are for none of the routes, given as paths and methods."""
        used = {it for paths, methods in routes if paths for it in self._rules_for(paths, methods)}
        return (rule.name for rule in self.rules if rule not in used)

    def _rules_for(self, paths: Collection[str], methods: Collection[str]) -> tuple[_Rule, ...]:
        """The rules that apply to a route. Unknown paths or methods count as a match."""
        # Where `GET` is answered, so is `HEAD`.
        named = self._methods & {*methods, *(("GET",) if "HEAD" in methods else ())}
        key = tuple(paths), named, not methods
        known = self._known.get(key)
        if known is None:
            several = {name for path in paths for name in (path, _TYPE.sub("", path))}
            known = self._known[key] = tuple(
                rule
                for rule in self.rules
                if (rule.method is None or not methods or rule.method in named)
                and (not paths or any(map(rule.template.fullmatch, several)))
            )
        return known


def _rule(name: str, scopes: Any) -> _Rule:
    *method, template = name.split(" ")
    several = (scopes,) if isinstance(scopes, str) else tuple(scopes)
    is_good = all(is_scope(it) and are_parameters(it) for it in several)
    is_named = len(method) <= 1 and method != [""] and template.startswith(("/", "*"))
    if not (is_good and several and is_named):
        raise ValueError
    return _Rule(name, method[0].upper() if method else None, expression_of(template), several)


def methods_of(scope: Scope) -> tuple[str, ...]:
    """The method by which rules name a request, as a collection of one."""
    if scope["type"] == "websocket":
        return ("WEBSOCKET",)
    return (scope["method"].upper(),)  # what is mounted may not mind the case
