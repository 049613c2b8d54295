"""The mutants of a file: each is the file with one operator, constant or statement changed."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mutant", "mutants"]

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Mod: ast.Add,
}


@dataclass(frozen=True)
class Mutant:
    """A changed file."""

    path: Path
    line: int
    was: str
    now: str
    source: str

    @property
    def id(self) -> str:
        """Its file, and the code before and after, which later lines do not change."""
        return f"{self.path.name}: {self.was} -> {self.now}"


def mutants(path: Path) -> Iterator[Mutant]:
    """Iterate over the mutants of a file; annotations and docstrings stay as they are."""
    source = path.read_text()
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    data = source.encode()
    for node, new in _changes(ast.parse(source)):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        now = ast.unparse(new)
        changed = (data[:begin] + now.encode() + data[end:]).decode()
        was = " ".join(data[begin:end].decode().split())
        yield Mutant(path, node.lineno, was, now, changed)


def _changes(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST]]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for statement in function.body:
            for node in ast.walk(statement):
                if isinstance(node, ast.expr):
                    yield from ((node, new) for new in _of_expression(node))
                elif isinstance(node, ast.Raise) or (
                    isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
                ):
                    yield node, ast.Pass()


def _of_expression(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(left, [operator], [right]):
            changed = ast.Compare(left, [_COMPARISONS[type(operator)]()], [right])
            yield _enclosed(changed)
        case ast.BoolOp(operator, values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield _enclosed(ast.BoolOp(other, values))
        case ast.UnaryOp(ast.Not(), operand):
            yield _enclosed(operand)
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            yield _enclosed(ast.BinOp(left, _OPERATORS[type(operator)](), right))
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)
        case ast.IfExp(test, body, orelse):
            yield _enclosed(ast.IfExp(test, orelse, body))


def _enclosed(node: ast.expr) -> ast.expr:
    """A tuple of one would be another value; a name in parentheses is what `unparse` writes."""
    return ast.Name(f"({ast.unparse(node)})")
