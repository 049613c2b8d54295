"""Read the recipes from `docs/providers.md`.

    RECIPES["auth0"].from_environment(monkeypatch)      the ```ini block, in the environment
    RECIPES["auth0"].from_code()                        the ```python block below it
    RECIPES["auth0"].tokens                             the claims in the ```json blocks after that

A recipe is called what its Python calls it.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jwt_deps import JWTSettings

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"^(\w+) = JWTSettings\(", re.MULTILINE)
_VARIANT = re.compile(r'`((?:scopes|user_id)_claim)="([^"]+)"`')


@dataclass(frozen=True)
class Recipe:
    """One recipe: the same settings twice, and the tokens that they are for."""

    name: str
    environment: dict[str, str]
    code: str
    tokens: list[dict[str, Any]]
    further: list[str]
    """The Python blocks after the recipe's own."""
    variants: set[tuple[str, str]]
    """The settings that its text says to change, `("scopes_claim", "permissions")`."""

    def from_environment(self, monkeypatch: pytest.MonkeyPatch) -> JWTSettings:
        """Build the settings of the environment block."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        try:
            return JWTSettings()
        finally:
            for name in self.environment:
                monkeypatch.delenv(name)

    def from_code(self) -> JWTSettings:
        """Run the Python block on its own."""
        settings = self.run()[self.name]
        assert isinstance(settings, JWTSettings)
        return settings

    def run(self) -> dict[str, Any]:
        """Run all its Python blocks, and return what they define."""
        namespace: dict[str, Any] = {"__name__": self.name}
        for code in (self.code, *self.further):
            exec(compile(code, self.name, "exec"), namespace)  # noqa: S102 - our own page
        return namespace


def _recipes() -> dict[str, Recipe]:
    recipes = {}
    for part in re.split(r"^(?=###? )", PAGE, flags=re.MULTILINE):
        blocks: list[tuple[str, str]] = _BLOCK.findall(part)
        if "ini" not in dict(blocks):
            continue  # what the environment cannot say
        (_, environment), (_, code), *others = blocks
        assert ["ini", "python"] == [language for language, _ in blocks[:2]]
        name = _NAME.findall(code)[0]
        recipes[name] = Recipe(
            name,
            dict(line.split("=", 1) for line in environment.splitlines()),
            code,
            [json.loads(text) for language, text in others if language == "json"],
            [text for language, text in others if language == "python"],
            set(_VARIANT.findall(_BLOCK.sub("", part))),
        )
    return recipes


RECIPES = _recipes()


def clear_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away every setting that the machine's own environment may hold."""
    for name in os.environ:
        if name.upper().startswith("JWT_") and not name.upper().startswith("JWT_DEPS_"):
            monkeypatch.delenv(name)
