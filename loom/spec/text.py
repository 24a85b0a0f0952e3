"""The text of a spec as data: JSON, or YAML without what makes YAML more than data.

Of YAML this reads texts, numbers, true, false, null, lists and mappings; every plain scalar means what both
versions of YAML take it for, so `on`, `yes` and dates are texts. A key stands once, and is a text. Tags and
aliases are refused: a value stands where it is used, and no text becomes more than it says.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import yaml

from loom.errors import SpecError
from loom.spec.places import Place, Source

# Any, in this module: parsed JSON and YAML.


def data_from(text: str, name: str) -> tuple[Any, Source]:
    """Read a text as what the suffix of its name says: JSON, else YAML. The lines of YAML are known.

    Raises:
        SpecError: it is neither, or has an alias, a tag, or one key twice.
    """
    called = f'"{name}"'
    try:
        if name.endswith(".json"):
            return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number), Source(called)
        lines: dict[Place, int] = {}
        return _value(_node_of(text), (), lines), Source(called, lines)
    except json.JSONDecodeError as error:
        raise SpecError(f"{called}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SpecError(f"{called}{f', line {mark.line + 1}' if mark else ''}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SpecError(f"{called}: {error}") from None
    except RecursionError:
        raise SpecError(f"{called} is nested too deep") from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'the key "{key}" stands twice in one object')
        found[key] = value
    return found


def _no_number(said: str) -> NoReturn:
    raise ValueError(f"{said} is no number of JSON")


_TAG = "tag:yaml.org,2002:"
_SCALARS: Mapping[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    f"{_TAG}bool": (re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"), lambda text: text.lower() == "true"),
    f"{_TAG}int": (re.compile(r"[-+]?(0|[1-9][0-9]*)\Z"), int),
    f"{_TAG}float": (re.compile(r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?\Z"), float),
    f"{_TAG}null": (re.compile(r"(~|null|Null|NULL|)\Z"), lambda _: None),
    f"{_TAG}str": (re.compile(r""), str),
}


class _Loader(yaml.SafeLoader):
    # Looked through in this order for every plain scalar, whatever it begins with; what fits none is a text.
    yaml_implicit_resolvers: Any = {None: [(tag, form) for tag, (form, _) in [*_SCALARS.items()][:-1]]}


def _node_of(text: str) -> yaml.Node:
    has_begun = False
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.DocumentStartEvent):
            if has_begun:
                _refuse("got another document; a file holds one graph", event.start_mark)
            has_begun = True
        if isinstance(event, yaml.AliasEvent):
            _refuse(f'got the alias "*{event.anchor}"; write out what it stands for', event.start_mark)
    node = yaml.compose(text, Loader=_Loader)
    if node is None:
        raise ValueError("it is empty")
    return node


def _value(node: yaml.Node, place: Place, lines: dict[Place, int]) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
        return _mapping(node, place, lines)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        return [_value(item, (*place, number), lines) for number, item in enumerate(node.value)]
    form, read = _SCALARS.get(node.tag, (None, str))
    if not isinstance(node, yaml.ScalarNode) or form is None or not form.match(node.value):
        _refuse(f'got a value with the tag "{node.tag.removeprefix(_TAG)}"; write it without', node.start_mark)
    return read(node.value)


def _mapping(node: yaml.MappingNode, place: Place, lines: dict[Place, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _refuse("got a key that is no text", key.start_mark)
        name = str(key.value)
        if name in found:
            _refuse(f'the key "{name}" stands twice in one mapping', key.start_mark)
        lines[*place, name] = key.start_mark.line + 1
        found[name] = _value(value, (*place, name), lines)
    return found


def _refuse(problem: str, mark: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
