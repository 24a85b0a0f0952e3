"""Fingerprints: hashes of what a node, a graph and a state mean.

The body of a function counts as its syntax tree in a form of our own, so comments, docstrings, layout,
decorators and Python's minor version do not change it. A closed-over value counts by its JSON, a
function by its body, anything else by the name of its type. What is not seen: functions that the
body calls, globals it reads. Code that has no source counts by its bytecode.
"""

import ast
import dataclasses
import hashlib
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from loom.core.declared import START, Declared, Drawing, Placed
from loom.core.node import FunctionNode, GraphNode, Node
from loom.core.state import Field, add, append, merge
from loom.types.annotations import type_name

# Any, in this module: syntax trees, and the users' own values.

Parts = Mapping[str, str]
"""The hashes of one node: `body`, `config`, `ports`, `edges`."""


def graph_parts(declared: Declared) -> dict[str, Parts]:
    """Return the parts of every node by name; START has edges alone."""
    edges = edge_parts(declared, {})
    parts: dict[str, Parts] = {START: {"edges": edges[START]}}
    for name, placed in declared.nodes.items():
        parts[name] = node_parts(declared, placed) | {"edges": edges[name]}
    return parts


def edge_parts(declared: Declared, known_as: Mapping[str, str]) -> dict[str, str]:
    """Return the part `edges` of START and every node, with other names for nodes that edges lead to."""
    edges: dict[str, list[str]] = {name: [] for name in (START, *declared.nodes)}
    for drawing in declared.drawings:
        edges[drawing.source].append(_drawing(drawing, known_as))
    return {name: _hash(drawn) for name, drawn in edges.items()}


def node_parts(declared: Declared, placed: Placed) -> dict[str, str]:
    """Return the parts of one node, but for its edges."""
    return {
        "body": _body(placed),
        "config": _hash([_config(placed), placed.node.kind, placed.node.effect, placed.name in declared.joins]),
        "ports": _hash([_ports(placed.inputs), _ports(placed.outputs)]),
    }


def state_parts(declared: Declared) -> dict[str, Any]:
    """Return what a journal has to know of the state: its version, and of each field type, reducer, default."""
    infos = declared.state.model_fields
    fields = {name: _field(field, infos[name]) for name, field in declared.fields.items()}
    return {"version": declared.state.state_version, "fields": fields}


Seen = dict[int, object]
"""Functions that were met, and containers around, by id: so that what leads to itself comes to an end."""


def function_body(fn: Callable[..., Any], seen: Seen | None = None) -> str:
    """Return the fingerprint of a function: its syntax tree, its defaults, what it closes over."""
    seen = {} if seen is None else seen
    fn = inspect.unwrap(fn)
    if id(fn) in seen:
        return f"<function {list(seen).index(id(fn))}>"
    seen[id(fn)] = fn
    if isinstance(fn, partial):
        return _hash([function_body(fn.func, seen), _value(fn.args, seen), _value(fn.keywords, seen)])
    code = getattr(fn, "__code__", None)
    if code is None:
        return _hash([_type_of(fn), *_callable_object(fn, seen)])
    cells = zip(code.co_freevars, fn.__closure__ or (), strict=True)
    closed = {name: _value(_content(cell), seen) for name, cell in sorted(cells, key=lambda pair: pair[0])}
    defaults = [_value(value, seen) for value in (fn.__defaults__ or ())]
    named = {name: _value(value, seen) for name, value in sorted((fn.__kwdefaults__ or {}).items())}
    tree = _function_tree(fn, code)
    written = list(_canonical(tree)) if tree is not None else _bytecode(code)
    bound = [_value(fn.__self__, seen)] if inspect.ismethod(fn) else []
    return _hash([written, closed, defaults, named, *bound])


def _callable_object(fn: Any, seen: Seen) -> list[Any]:
    call = type(fn).__call__
    if not inspect.isfunction(call):  # built in
        return [getattr(fn, "__module__", ""), getattr(fn, "__qualname__", "")]
    return [function_body(call, seen), _value(getattr(fn, "__dict__", {}), seen)]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _function_tree(fn: Any, code: types.CodeType) -> ast.AST | None:
    """Return the syntax tree of a function; None where there is no source for it."""
    known = _trees_in(_source(fn))
    if code.co_name != "<lambda>":
        return known.get((code.co_firstlineno, code.co_name))
    # Where the body stands is where its value is returned; no other lambda has its body there.
    return next((known[place] for place in code.co_positions() if place in known), None)


def _source(of: Any) -> str:
    """Return the text of the file in which a function or class was written; empty if there is none."""
    try:
        return "".join(inspect.findsource(of)[0])
    except (OSError, TypeError):
        return ""


@lru_cache(maxsize=32)
def _trees_in(source: str) -> Mapping[Any, ast.AST]:
    """Return functions by first line and name, lambdas by the place of their body, classes by qualified name."""
    found: dict[Any, ast.AST] = {}

    def enter(piece: ast.AST, path: str) -> None:
        if isinstance(piece, ast.Lambda):
            body = piece.body
            found[body.lineno, body.end_lineno, body.col_offset, body.end_col_offset] = piece
        elif isinstance(piece, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found[min(one.lineno for one in (piece, *piece.decorator_list)), piece.name] = piece
            path += f"{piece.name}.<locals>."
        elif isinstance(piece, ast.ClassDef):
            found[path + piece.name] = piece
            path += f"{piece.name}."
        for child in ast.iter_child_nodes(piece):
            enter(child, path)

    try:
        enter(ast.parse(source), "")
    except (SyntaxError, RecursionError):
        return {}
    return found


def _bytecode(code: types.CodeType) -> list[Any]:
    consts = [_bytecode(one) if isinstance(one, types.CodeType) else _value(one) for one in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), consts]


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
        for item in cast("Sequence[Any]", piece):
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
    mro = type(node).__mro__
    for cls in mro[: mro.index(Node)]:
        tree = _trees_in(_source(cls)).get(cls.__qualname__)
        bodies.append(_hash(list(_canonical(tree))) if tree is not None else cls.__qualname__)
    return _hash(bodies)


def _config(placed: Placed) -> Any:
    node = placed.node
    if isinstance(node, BaseModel):
        return {name: _value(getattr(node, name)) for name in sorted(type(node).model_fields)}
    if isinstance(node, GraphNode):
        return [sorted(node.reads.items()), sorted(node.writes.items())]
    return None


def _value(value: Any, seen: Seen | None = None) -> Any:
    """Return what a value counts as."""
    seen = {} if seen is None else seen
    if isinstance(value, FunctionNode):
        value = value.fn
    if inspect.isroutine(value) or isinstance(value, partial):
        return function_body(cast("Callable[..., Any]", value), seen)
    if isinstance(value, type):
        return f"<{value.__qualname__}>"  # not its module: a script is `__main__` only when it is run
    if id(value) in seen:
        return "<itself>"
    seen[id(value)] = value
    try:
        return _contents(value, seen)
    finally:
        del seen[id(value)]


def _contents(value: Any, seen: Seen) -> Any:
    """Return the JSON of a value, of sets in an order that does not change; its type's name where it has none."""
    if isinstance(value, BaseModel):
        return [_type_of(value), _value(value.__dict__, seen)]
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return [_type_of(value), [[name, _value(getattr(value, name, None), seen)] for name in names]]
    if isinstance(value, dict):
        return [[_value(key, seen), _value(one, seen)] for key, one in cast("Mapping[Any, Any]", value).items()]
    if isinstance(value, (list, tuple)):
        return [_value(one, seen) for one in cast("Sequence[Any]", value)]
    if isinstance(value, (set, frozenset)):
        return sorted(_hash(_value(one, seen)) for one in cast("Iterable[Any]", value))
    if isinstance(value, Iterator):  # looking into it would use it up, and it may have no end
        return _type_of(cast("object", value))
    try:
        return to_json(value).decode()
    except ValueError:
        return _type_of(value)


def _type_of(value: object) -> str:
    return f"<{type(value).__qualname__}>"


def _type(annotation: Any) -> Any:
    """Return a type's name, with its metadata where it has some."""
    metadata = list(_metadata(annotation))
    return [type_name(annotation), *metadata] if metadata else type_name(annotation)


def _metadata(annotation: Any) -> Iterator[Any]:
    """Yield what the metadata of a type, and of the types in it, counts as."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        for extra in arguments[1:]:
            for one in extra.metadata if isinstance(extra, FieldInfo) else (extra,):
                counted = _value(one)
                yield [counted, _value(vars(one))] if counted == _type_of(one) and hasattr(one, "__dict__") else counted
        arguments = arguments[:1]
    for argument in arguments:
        yield from _metadata(argument)


def _ports(bound: Any) -> list[Any]:
    return [[port.name, _type(port.type), port.has_default, field] for port, field in bound]


def _drawing(drawing: Drawing, known_as: Mapping[str, str]) -> str:
    ways = [
        [_condition(way.condition) if way.condition else None, [known_as.get(name, name) for name in way.targets]]
        for way in drawing.ways
    ]
    each = drawing.each
    return _hash([ways, [each.over, each.bind] if each else None])


def _condition(condition: Any) -> str:
    if condition.function:
        return function_body(condition.function)
    return _hash(list(_canonical(ast.parse(condition.text.strip(), mode="eval"))))


def _field(field: Field, info: FieldInfo) -> dict[str, Any]:
    reducer = field.reducer
    found: dict[str, Any] = {"type": _type(field.values.type), "reducer": None}
    if reducer:
        is_ours = reducer in (append, merge, add)
        found["reducer"] = reducer.name if is_ours else f"custom {function_body(reducer.fn)}"
    if field.has_default:
        found["default"] = _value(info.default_factory or info.default)
    return found


def _hash(value: Any) -> str:
    return hashlib.sha256(to_json(value)).hexdigest()[:24]
