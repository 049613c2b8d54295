"""The mutants of a file: each has one operator, operand, constant or statement changed."""

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType

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
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
}
_KEPT = {"annotation", "returns", "decorator_list", "bases"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Mutant:
    """A changed file. Its `tree` has the change while the iteration is at it, and no longer."""

    id: str
    """`file:function:kind:number`, numbered among those of its kind in the function."""
    change: str
    path: Path
    line: int
    lines: frozenset[int]
    """The lines that execute it; what an import executes is noticed where it is used."""
    tree: ast.Module

    def compile(self) -> CodeType:
        """The changed module, with the line numbers of the file."""
        return compile(self.tree, str(self.path), "exec", dont_inherit=True)


def mutants(path: Path) -> Iterator[Mutant]:
    """Iterate over the mutants of a file; annotations and decorators stay as they are."""
    tree = ast.parse(path.read_text())
    counts: Counter[str] = Counter()
    uses = _uses(tree)
    for function, node, is_test, put in _nodes(tree, ""):
        changes = _of_statement(node) if isinstance(node, ast.stmt) else _of_expression(node)
        if is_test and isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Await):
            changes = iter([("condition", ast.UnaryOp(ast.Not(), node))])
        for kind, new in changes:
            place = f"{path.name}:{function or 'module'}:{kind}"
            change = f"{ast.unparse(node)} -> {ast.unparse(new)}"
            if not hasattr(new, "lineno"):
                ast.fix_missing_locations(ast.copy_location(new, node))
            put(new)
            lines = frozenset().union(*map(uses.__getitem__, _lines(node)), _lines(node))
            yield Mutant(f"{place}:{counts[place]}", change, path, node.lineno, lines, tree)
            put(node)
            counts[place] += 1


def _lines(node: ast.expr | ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or 0) + 1)


def _uses(tree: ast.Module) -> dict[int, set[int]]:
    """By the lines of defaults and of constants: the lines of the function, and of their names."""
    names: dict[object, set[int]] = defaultdict(set)
    uses: dict[int, set[int]] = defaultdict(set)
    nodes = list(ast.walk(tree))
    for node in nodes:
        for name in {getattr(node, kind, None) for kind in ("id", "attr", "arg")} - {None}:
            names[name].add(getattr(node, "end_lineno", 0))
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for line in range(node.lineno, node.body[0].lineno):
                    uses[line].update(_lines(node))
            case ast.Module(body=body) | ast.ClassDef(body=body):
                for statement in body:
                    match statement:
                        case ast.Assign([ast.Name(name)]) | ast.AnnAssign(ast.Name(name)):
                            for line in _lines(statement):
                                uses[line] |= names[name]
    return uses


def _nodes(
    parent: ast.AST, function: str
) -> Iterator[tuple[str, ast.expr | ast.stmt, bool, Callable[[ast.AST], None]]]:
    """What can change: the function that it is in, whether it is a condition, what replaces it."""
    for name, value in ast.iter_fields(parent):
        if name in _KEPT or (isinstance(parent, ast.ClassDef) and name == "keywords"):
            continue
        listed = isinstance(value, list)
        for index, node in enumerate(value if listed else [value]):
            if not isinstance(node, ast.AST) or _is_for_types(node):
                continue
            put = partial(value.__setitem__, index) if listed else partial(setattr, parent, name)
            if isinstance(node, ast.expr | ast.stmt):
                yield function, node, name in {"test", "ifs"}, put
            inner = f"{function}.{node.name}" if isinstance(node, _Function) else function
            yield from _nodes(node, inner.lstrip("."))


def _is_for_types(node: ast.AST) -> bool:
    match node:
        case ast.AnnAssign(annotation=ast.Name("TypeAlias")) | ast.If(ast.Name("TYPE_CHECKING")):
            return True
    return False


def _of_statement(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Raise():
            yield "raise", ast.Pass()
        case ast.Expr(ast.Call() | ast.Await()):
            yield "call", ast.Pass()
        case ast.AugAssign(target, operator, value) if type(operator) in _OPERATORS:
            yield "arithmetic", ast.AugAssign(target, _OPERATORS[type(operator)](), value)


def _of_expression(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Compare(left, operators, right):
            for index, operator in enumerate(operators):
                other = _COMPARISONS[type(operator)]()
                others = [*operators[:index], other, *operators[index + 1 :]]
                yield "comparison", ast.Compare(left, others, right)
        case ast.BoolOp(operator, values):
            for value in values:
                rest = [it for it in values if it is not value]
                yield "operand", ast.BoolOp(operator, rest) if rest[1:] else rest[0]
        case ast.BinOp(left, ast.BitOr() | ast.BitAnd(), right):
            yield from (("operand", left), ("operand", right))
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            yield "arithmetic", ast.BinOp(left, _OPERATORS[type(operator)](), right)
        case ast.UnaryOp(ast.Not(), operand):
            yield "not", operand
        case ast.IfExp(test, body, orelse):
            yield "choice", ast.IfExp(test, orelse, body)
        case ast.Constant(bool() | int() as value):
            new = not value if isinstance(value, bool) else value + 1
            yield "constant", ast.Constant(new)
