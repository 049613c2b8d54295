"""The table of all settings is made from the code, and equals the page."""

import ast
import os
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import jwt_deps
from jwt_deps import IssuerSettings, JWKSCacheSettings, JWTSettings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
TABLE = re.compile(r"(?<=: begin -->\n).*(?=<!-- made from the code)", re.DOTALL)


@cache
def classes() -> dict[str, ast.ClassDef]:
    """The definitions of all classes of the package."""
    return {
        node.name: node
        for path in Path(jwt_deps.__file__).parent.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }


def meanings(*models: type[BaseModel]) -> dict[str, str]:
    """What stands below each field, on one line."""
    found = {}
    for model in models:
        body = classes()[model.__name__].body
        for field, text in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                found[field.target.id] = " ".join(text.value.value.split())
    return found


def table(model: type[BaseModel], prefix: str, *sources: type[BaseModel]) -> str:
    """One row for each setting, in the order of their names."""
    means = meanings(*sources, *(base for one in sources for base in _bases(one)))
    rows = [
        f"| `{prefix}{name}` | {_default(model, name)} | {means[name]} |"
        for name in sorted(model.model_fields)
    ]
    return "\n".join(["| Parameter | Default | Meaning |", "|---|---|---|", *rows])


def _bases(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models of this package that a model is made of."""
    return [
        base for base in model.__mro__ if issubclass(base, BaseModel) and base.__name__ in classes()
    ]


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value == []:
        return "none"
    if isinstance(value, BaseModel):
        return "below"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_the_table_is_that_of_the_code() -> None:
    """With `JWT_DEPS_UPDATE_DOCS=1` it is written anew."""
    true = (
        f"\n{table(JWTSettings, '', IssuerSettings, JWTSettings)}\n\n"
        "Members of `jwks_cache`:\n\n"
        f"{table(JWKSCacheSettings, 'jwks_cache.', JWKSCacheSettings)}\n\n"
    )
    page = PAGE.read_text()
    if os.environ.get("JWT_DEPS_UPDATE_DOCS"):
        page = TABLE.sub(lambda _: true, page)
        PAGE.write_text(page)

    assert [true] == TABLE.findall(page), "run this with JWT_DEPS_UPDATE_DOCS=1"
