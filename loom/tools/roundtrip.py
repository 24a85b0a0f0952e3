"""Arguments there and back: as JSON they are judged and saved, and from that JSON a tool is called.

What would be lost on the way at every call is told here by the types, when a tool is made.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Final, NamedTuple, cast, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, create_model

from loom.errors import ConfigError, quoted, short
from loom.tools.foreign import CANONICAL
from loom.tools.signature import is_plain_field, quiet_about_names

# Any, in this module: pieces of a schema that pydantic made, and arguments as JSON.
Node = Mapping[str, Any]

_SECRETS: Final = (Secret, SecretBytes, SecretStr)
# Where no schema of a part stands, or one that is only for writing.
_NO_PARTS: Final = frozenset({"computed_fields", "config", "default", "metadata", "serialization"})


class _Field(NamedTuple):
    """A field of a record. `keys` are those that it is read from, `alias` the one that it is written to by alias."""

    name: str
    keys: frozenset[str]
    alias: str
    is_excluded: bool


def written(given: BaseModel, *, by_alias: bool) -> dict[str, Any]:
    """Return validated arguments as JSON."""
    dump = given.__pydantic_serializer__.to_python
    dumped: dict[str, Any] = dump(given, mode="json", by_alias=by_alias, round_trip=True, warnings=False)
    return dumped


def is_read_by_alias(arguments: type[BaseModel], tool: str) -> bool:
    """Tell by which keys the arguments of a tool must be written to be read again: aliases, or names of fields.

    Raises:
        ConfigError: a parameter has a part that is not written, or cannot be read again.
    """
    fields: list[tuple[str, _Field]] = []
    for name, info in arguments.model_fields.items():
        where = f'tool "{tool}": the parameter "{name}"'
        nodes = list(_nodes(arguments, name))
        kinds = [*_types_in(info.annotation), *(kind for node, _ in nodes for kind in _types_of(node.get("cls")))]
        if any(isinstance(kind, type) and issubclass(kind, _SECRETS) for kind in kinds):
            raise ConfigError(f"{where} holds a secret, but arguments are saved and shown; keep secrets in the tool")
        if BaseModel in kinds:
            raise ConfigError(f"{where} is a BaseModel, which has no fields; name a model of your own, or dict")
        fields += [(where, field) for node, config in nodes for field in _fields(node, config)]
    for where, field in fields:
        if field.is_excluded:
            raise ConfigError(f'{where} excludes "{field.name}", but a tool is called with what was saved; include it')
    unread = [(where, field) for where, field in fields if field.alias not in field.keys]
    if unread and not all(field.name in field.keys for _, field in fields):
        where, field = unread[0]
        raise ConfigError(
            f'{where} has "{field.name}", which is read from {quoted(field.keys)} and written to "{field.alias}"; '
            "give it one alias for both, and no path"
        )
    return not unread


def check_defaults(arguments: type[BaseModel], tool: str, *, by_alias: bool) -> None:
    """Refuse defaults with which a tool could never be called.

    Raises:
        ConfigError: one is no JSON, or not the same when it is read back.
    """
    for name, info in arguments.model_fields.items():
        if not (info.is_required() or info.default_factory_takes_validated_data or is_plain_field(info)):
            _check_default(arguments, name, tool, by_alias=by_alias)


def _check_default(arguments: type[BaseModel], name: str, tool: str, *, by_alias: bool) -> None:
    info = arguments.model_fields[name]
    with quiet_about_names():
        fields: dict[str, Any] = {name: (info.annotation, copy(info))}
        only: type[BaseModel] = create_model(tool, __config__=arguments.model_config, **fields)
    validate = only.__pydantic_validator__.validate_python
    default: Any = info.get_default(call_default_factory=True)
    try:
        given: BaseModel = validate({})
        dumped = written(given, by_alias=by_alias)
        CANONICAL.encode(dumped).encode()
        again: BaseModel = validate(dumped)
    except (ValueError, TypeError) as error:  # those of pydantic are among them
        raise ConfigError(f'tool "{tool}": the default of "{name}" is no JSON: {short(default)}: {error}') from error
    if vars(again) != vars(given):
        raise ConfigError(f'tool "{tool}": the default of "{name}" changes on its way through JSON: {short(default)}')


def _types_of(kind: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield a class and, of a model, the types in its fields."""
    yield kind
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for info in kind.model_fields.values():
            yield from _types_in(info.annotation)


def _types_in(annotation: Any) -> Iterator[Any]:  # noqa: ANN401
    yield get_origin(annotation) or annotation
    for part in get_args(annotation):
        yield from _types_in(part)


def _nodes(arguments: type[BaseModel], name: str) -> Iterator[tuple[Node, Node]]:
    """Yield every node of the schema of a parameter, with the configuration that holds there."""
    root: Node = vars(arguments)["__pydantic_core_schema__"]
    shared: dict[str, Node] = {}
    if root["type"] == "definitions":
        shared = {node["ref"]: node for node in root["definitions"]}
        root = root["schema"]
    top: Node = root["schema"]
    yield from _within({**top, "fields": {name: top["fields"][name]}}, {}, shared, set())


def _within(part: Any, config: Node, shared: Mapping[str, Node], seen: set[str]) -> Iterator[tuple[Node, Node]]:  # noqa: ANN401
    if isinstance(part, list | tuple):
        for each in cast("Sequence[Any]", part):
            yield from _within(each, config, shared, seen)
    if not isinstance(part, dict):
        return
    node = cast("Node", part)
    if node.get("type") == "definition-ref":
        ref = node["schema_ref"]
        if ref in seen:
            return
        seen.add(ref)
        node = shared[ref]
    config = node.get("config") or config
    yield node, config
    for key, value in node.items():
        # The keys of these are the user's own names.
        named = cast("Node", value) if key in {"choices", "fields"} and isinstance(value, dict) else {key: value}
        for each in named.values() if key not in _NO_PARTS else ():
            yield from _within(each, config, shared, seen)


def _fields(node: Node, config: Node) -> Iterator[_Field]:
    if node.get("type") in {"model-fields", "typed-dict"}:
        named = node["fields"].items()
    elif node.get("type") == "dataclass-args":
        named = [(field["name"], field) for field in node["fields"]]
    else:
        return
    for name, field in named:
        keys = _keys(name, field.get("validation_alias"), config)
        alias = field.get("serialization_alias", name)
        yield _Field(name, keys, alias, bool(field.get("serialization_exclude")))


def _keys(name: str, alias: str | list[Any] | None, config: Node) -> frozenset[str]:
    if alias is None:
        return frozenset({name})
    keys = {name} if config.get("validate_by_name") or config.get("populate_by_name") else set[str]()
    if config.get("validate_by_alias", True):
        paths = [[alias]] if isinstance(alias, str) else alias if isinstance(alias[0], list) else [alias]
        keys.update(path[0] for path in paths if len(path) == 1)
    return frozenset(keys)
