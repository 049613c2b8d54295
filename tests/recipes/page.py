"""Read the recipes from `docs/providers.md`.

    RECIPES["auth0"].settings()     of the ```ini block, in the environment
    RECIPES["auth0"].run()          what the ```python blocks below it define
    RECIPES["auth0"].tokens         the claims in the ```json blocks

A recipe is called what its file is called, `auth0.env`, and its settings in Python, if any.
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

_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r'^```ini title="(\w+)\.env"$', re.MULTILINE)
_VARIANT = re.compile(r'`((?:scopes|roles|user_id)_claim)="([^"]+)"`')


@dataclass(frozen=True)
class Recipe:
    """One recipe: its settings, and the tokens that they are for."""

    name: str
    environment: dict[str, str]
    code: list[str]
    tokens: list[dict[str, Any]]
    variants: set[tuple[str, str]]
    """The settings that its text says to change, `("scopes_claim", "permissions")`."""

    def settings(self) -> JWTSettings:
        """Build the settings of the environment block."""
        with pytest.MonkeyPatch.context() as environment:
            for name, value in self.environment.items():
                environment.setenv(name, value)
            return JWTSettings()

    def run(self) -> dict[str, Any]:
        """Run its Python blocks, and return what they define."""
        namespace: dict[str, Any] = {"__name__": self.name}
        for code in self.code:
            exec(compile(code, self.name, "exec"), namespace)  # noqa: S102 - our own page
        return namespace


def _recipes() -> dict[str, Recipe]:
    recipes = {}
    for part in re.split(r"^(?=###? )", PAGE, flags=re.MULTILINE):
        blocks: list[tuple[str, str]] = _BLOCK.findall(part)
        for name in _NAME.findall(part):  # none where the environment cannot say it
            recipes[name] = Recipe(
                name,
                dict(line.split("=", 1) for line in dict(blocks)["ini"].splitlines()),
                [text for language, text in blocks if language == "python"],
                [json.loads(text) for language, text in blocks if language == "json"],
                set(_VARIANT.findall(_BLOCK.sub("", part))),
            )
    return recipes


RECIPES = _recipes()


def clear_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away every setting that the machine's own environment may hold."""
    for name in os.environ:
        if name.upper().startswith("JWT_") and not name.upper().startswith("JWT_DEPS_"):
            monkeypatch.delenv(name)
