"""Fingerprints: hashes of what a node, a graph and a state mean.

The body of a function counts as its syntax tree in a form of our own, so comments, docstrings, layout,
decorators and Python's minor version do not change it. A closed-over value counts by its JSON, a
function by its body, anything else by the name of its type. What is not seen: functions that the
body calls, globals it reads, and code that has no source, which counts by its bytecode.
"""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from loom.core.declared import START, Declared, Drawing, Placed
from loom.core.node import FunctionNode, GraphNode, Node
from loom.core.state import Field
from loom.core.values import type_name

# Any, in this module: syntax trees, and the users' own values.

Parts = Mapping[str, str]
"""The hashes of one node: `body`, `config`, `ports`, `edges`."""


def graph_parts(declared: Declared) -> dict[str, Parts]:
    """Return the parts of every node by name; START has edges alone."""
    edges: dict[str, list[str]] = {name: [] for name in (START, *declared.nodes)}
    for drawing in declared.drawings:
        edges[drawing.source].append(_drawing(drawing))
    parts: dict[str, Parts] = {START: {"edges": _hash(edges[START])}}
    for name, placed in declared.nodes.items():
        parts[name] = node_parts(declared, placed) | {"edges": _hash(edges[name])}
    return parts


def node_parts(declared: Declared, placed: Placed) -> dict[str, str]:
    """Return the parts of one node, but for its edges."""
    return {
        "body": _body(placed),
        "config": _hash([_config(placed), placed.node.kind, placed.node.effect, declared.is_join(placed.name)]),
        "ports": _hash([_ports(placed.inputs), _ports(placed.outputs)]),
    }


def state_parts(declared: Declared) -> dict[str, Any]:
    """Return what a journal has to know of the state: its version, and of each field type, reducer, default."""
    infos = declared.state.model_fields
    fields = {name: _field(field, infos[name]) for name, field in declared.fields.items()}
    return {"version": declared.state.state_version, "fields": fields}


def function_body(fn: Callable[..., Any]) -> str:
    """Return the fingerprint of a function: its syntax tree, its defaults, what it closes over."""
    fn = inspect.unwrap(fn)
    code = getattr(fn, "__code__", None)
    if code is None:
        return _hash(["type", type(fn).__qualname__, _value(vars(fn) if hasattr(fn, "__dict__") else None)])
    cells = dict(zip(code.co_freevars, fn.__closure__ or (), strict=True)) if hasattr(fn, "__closure__") else {}
    closed = {name: _value(_content(cell)) for name, cell in sorted(cells.items())}
    defaults = [_value(value) for value in (getattr(fn, "__defaults__", None) or ())]
    named = {name: _value(value) for name, value in sorted((getattr(fn, "__kwdefaults__", None) or {}).items())}
    tree = _tree(fn)
    written = list(_canonical(tree)) if tree is not None else [code.co_code.hex(), repr(code.co_names)]
    return _hash([written, closed, defaults, named])


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _tree(of: Any) -> ast.AST | None:
    """Return the syntax tree of a function or class; None where there is no source for it."""
    try:
        module = ast.parse(textwrap.dedent(inspect.getsource(of)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None
    found = module.body[0] if len(module.body) == 1 else module
    if getattr(of, "__name__", "") == "<lambda>":
        lambdas = [piece for piece in ast.walk(module) if isinstance(piece, ast.Lambda)]
        return lambdas[0] if len(lambdas) == 1 else None
    return found


_SILENT = frozenset({"decorator_list", "ctx", "type_comment", "kind", "type_ignores", "type_params"})


_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _canonical(piece: Any) -> Iterator[str]:
    """Yield a syntax tree in a form that only changes with its meaning."""
    if isinstance(piece, ast.AST):
        yield type(piece).__name__
        for name, value in ast.iter_fields(piece):
            if name in _SILENT or (name == "name" and isinstance(piece, _NAMED)):
                continue
            has_docstring = isinstance(piece, (*_NAMED, ast.Module)) and ast.get_docstring(piece) is not None
            if name == "body" and has_docstring:
                yield from _canonical(value[1:])
            else:
                yield from _canonical(value)
        yield ")"
    elif isinstance(piece, list):
        yield "["
        for item in piece:
            yield from _canonical(item)
        yield "]"
    else:
        yield repr(piece)


def _body(placed: Placed) -> str:
    node = placed.node
    if isinstance(node, FunctionNode):
        return function_body(node.fn)
    if isinstance(node, GraphNode):
        return node.fingerprint
    bodies: list[str] = []
    for cls in type(node).__mro__:
        if cls is Node or not issubclass(cls, Node) or cls.__module__.startswith("pydantic"):
            break
        tree = _tree(cls)
        bodies.append(_hash(list(_canonical(tree))) if tree is not None else cls.__qualname__)
    return _hash(bodies)


def _config(placed: Placed) -> Any:
    node = placed.node
    if isinstance(node, BaseModel):
        return {name: _value(getattr(node, name)) for name in sorted(type(node).model_fields)}
    if isinstance(node, GraphNode):
        return [sorted(node.reads.items()), sorted(node.writes.items())]
    return None


def _value(value: Any) -> Any:
    """Return what a value counts as."""
    if isinstance(value, FunctionNode):
        return function_body(value.fn)
    if inspect.isfunction(value):
        return function_body(value)
    try:
        return to_json(value).decode()
    except ValueError:
        return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _ports(bound: Any) -> list[Any]:
    return [[port.name, type_name(port.type), port.has_default, field] for port, field in bound]


def _drawing(drawing: Drawing) -> str:
    ways = [[_condition(way.condition) if way.condition else None, way.targets] for way in drawing.ways]
    each = drawing.each
    return _hash([ways, [each.over, each.bind] if each else None])


def _condition(condition: Any) -> str:
    return function_body(condition.function) if condition.function else condition.text


def _field(field: Field, info: FieldInfo) -> dict[str, Any]:
    reducer = field.reducer
    found: dict[str, Any] = {"type": type_name(field.values.type), "reducer": None}
    if reducer:
        found["reducer"] = reducer.name or f"custom {function_body(reducer.fn)}"
    if field.has_default:
        found["default"] = _value(info.default_factory or info.default)
    return found


def _hash(value: Any) -> str:
    return hashlib.sha256(to_json(value)).hexdigest()[:24]
