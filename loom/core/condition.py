"""Conditions of a switch: checked expressions over state fields, or pure functions of them.

An expression is data: it is parsed once, checked against a list of allowed syntax, and compiled. It
cannot call methods, import, assign or reach a name that starts with an underscore.
"""

import ast
import inspect
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from loom.core.node import plain_function
from loom.errors import did_you_mean, quoted, short

# Any, in this module: field values, whose types are the user's.

FUNCTIONS: Mapping[str, Callable[..., Any]] = {fn.__name__: fn for fn in (len, any, all, min, max, sum, abs, round)}
_NAMESPACE: dict[str, Any] = {"__builtins__": {}, **FUNCTIONS}

_ALLOWED: tuple[type[ast.AST], ...] = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod,
    ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot,
    ast.Constant, ast.Name, ast.Load, ast.Attribute, ast.Subscript, ast.Slice,
    ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Call,
)  # fmt: skip


class Condition(NamedTuple):
    """One condition: its text, the fields it reads, and how it is decided.

    `flaw` says why it cannot be used; then `holds` is never called. `calls` are the functions it uses.
    """

    text: str
    reads: tuple[str, ...]
    holds: Callable[[Mapping[str, Any]], bool]
    flaw: str = ""
    calls: tuple[str, ...] = ()
    function: Callable[..., Any] | None = None


def _never(_view: Mapping[str, Any]) -> bool:
    raise AssertionError("a condition with a flaw was decided")  # pragma: no cover


@lru_cache(maxsize=8192)
def parse(text: str) -> Condition:
    """Check and compile an expression. Equal texts share one result."""
    names: list[str] = []
    calls: list[str] = []
    try:
        tree = ast.parse(text.strip(), mode="eval")
        if flaw := _inspect(tree, names, calls):
            return Condition(text, (), _never, f'condition "{text:.200}" {flaw}')
        code = compile(tree, "<condition>", "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or f"{type(error).__name__}, {_HELP}"
        return Condition(text, (), _never, f'condition "{text:.200}" does not parse: {reason}')
    return Condition(text, tuple(dict.fromkeys(names)), _evaluator(code), calls=tuple(calls))


def _evaluator(code: types.CodeType) -> Callable[[Mapping[str, Any]], bool]:
    def holds(view: Mapping[str, Any]) -> bool:
        return bool(eval(code, _NAMESPACE, view))  # noqa: S307 - the syntax tree was checked by `_inspect`

    return holds


def _inspect(tree: ast.Expression, names: list[str], calls: list[str]) -> str:
    """Collect the fields an expression reads and the functions it calls.

    Return what is not allowed in it, or an empty string.
    """
    called: set[int] = set()
    for piece in ast.walk(tree):  # breadth first: a call is met before the name it calls
        if not isinstance(piece, _ALLOWED):
            return f"uses {_spoken(piece)}, which is not allowed; {_HELP}"
        if isinstance(piece, ast.Call):
            if not isinstance(piece.func, ast.Name):
                return f"calls a method, which is not allowed; {_HELP}"
            if piece.func.id not in FUNCTIONS:
                return f'calls "{piece.func.id}"; expected one of {quoted(FUNCTIONS)}'
            if piece.keywords or any(isinstance(argument, ast.Starred) for argument in piece.args):
                return f'gives "{piece.func.id}" a keyword or star argument, which is not allowed'
            called.add(id(piece.func))
            calls.append(piece.func.id)
        elif isinstance(piece, ast.Dict) and None in piece.keys:
            return f"uses a star, which is not allowed; {_HELP}"
        elif isinstance(piece, ast.Attribute) and piece.attr.startswith("_"):
            return f'reads the attribute "{piece.attr}"; names that start with an underscore are private'
        elif isinstance(piece, ast.Compare) and not _is_none_test(piece):
            return 'uses "is" with something else than None; write =='
        elif isinstance(piece, ast.Name) and id(piece) not in called:
            names.append(piece.id)
    return ""


def _is_none_test(compare: ast.Compare) -> bool:
    """Allow `is` and `is not` only against None."""
    return all(
        isinstance(right, ast.Constant) and right.value is None
        for operator, right in zip(compare.ops, compare.comparators, strict=True)
        if isinstance(operator, (ast.Is, ast.IsNot))
    )


_HELP = "write comparisons, logic and arithmetic over state fields, or pass a function"


def _spoken(piece: ast.AST) -> str:
    words: dict[type[ast.AST], str] = {
        ast.Lambda: "a lambda", ast.IfExp: "an if-else", ast.JoinedStr: "an f-string", ast.Pow: "**",
        ast.ListComp: "a comprehension", ast.SetComp: "a comprehension", ast.DictComp: "a comprehension",
        ast.GeneratorExp: "a comprehension", ast.NamedExpr: "an assignment", ast.Starred: "a star",
        ast.Await: "await", ast.BitAnd: "& (write and)", ast.BitOr: "| (write or)", ast.Invert: "~ (write not)",
    }  # fmt: skip
    return words.get(type(piece), type(piece).__name__)


def from_function(fn: Callable[..., Any]) -> Condition:
    """Make a condition of a pure function whose parameters are state fields."""
    name = getattr(fn, "__name__", type(fn).__name__)
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return Condition(name, (), _never, f'condition "{name}" has no readable signature; pass a plain function')
    one = plain_function(fn)
    if inspect.iscoroutinefunction(one) or inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one):
        message = f'condition "{name}" is async or a generator; a condition is a plain, pure function'
        return Condition(name, (), _never, message)
    odd = [p.name for p in parameters if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if odd:
        return Condition(name, (), _never, f'condition "{name}" has the parameter "{odd[0]}", which names no field')
    reads = tuple(p.name for p in parameters)

    def holds(view: Mapping[str, Any]) -> bool:
        found: object = fn(**{field: view[field] for field in reads})
        if isinstance(found, bool):
            return found
        if inspect.iscoroutine(found):
            found.close()  # else asyncio would warn that nobody awaited it
        if isinstance(found, _UNDECIDED):
            message = f'it returned a value of type "{type(found).__name__}"; a condition is a plain, pure function'
            raise TypeError(f"{message}, so let a node await what it needs, and read the field that the node writes")
        return bool(found)

    return Condition(name, reads, holds, function=fn)


_UNDECIDED: tuple[type, ...] = (Awaitable, Generator, AsyncGenerator)
"""What is true as an object, whatever would come of it."""


def condition_of(given: object) -> Condition:
    """Return the condition that a user gave, flawed or not."""
    if isinstance(given, str):
        return parse(given)
    if callable(given):
        return from_function(given)
    return Condition(
        short(given), (), _never, f"got {type(given).__name__} as a condition; expected a string or function"
    )


def flaw_in(condition: Condition, fields: Mapping[str, Any]) -> str:
    """Return why a condition cannot be used on these fields; empty if it can."""
    if condition.flaw:
        return condition.flaw
    for name in condition.calls:
        if name in fields:
            return f'condition "{condition.text}" calls "{name}", which is also a field; rename the field'
    for name in condition.reads:
        if name in FUNCTIONS and name not in fields:
            return f'condition "{condition.text}" uses "{name}" without calling it'
        if name not in fields:
            hint = did_you_mean(name, fields)
            return f'condition "{condition.text}" reads "{name}", which is no field; fields are {quoted(fields)}.{hint}'
    return ""
