"""What a spec may say: one record for each call that declares a part of a graph."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeGuard, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    PlainValidator,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticSerializationError, to_json

from loom.core.runtime import Cache, Retry
from loom.errors import did_you_mean, quoted, short
from loom.spec.places import Flaw, Place, Source

# Any, in this module: a spec that was not looked at yet.

_RETRY, _CACHE = Retry(), Cache()  # what is left out of a spec is as it is in Python


def _flaw(why: str) -> PydanticCustomError:
    return PydanticCustomError("flaw", "{why}", {"why": why})


class Record(BaseModel):
    """A mapping of a spec. Values are taken as they are: a text is no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_each_key(cls, given: Any) -> Any:
        known = cls.model_fields
        for key in cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else ():
            if key not in known:
                raise _flaw(f'got the key "{key}"; expected some of {quoted(known)}.{did_you_mean(key, known)}')
        return cast("Any", given)


def _are_names(given: object) -> TypeGuard[list[str]]:
    return isinstance(given, list) and all(isinstance(name, str) for name in cast("list[object]", given))


def _as_stop(given: Any) -> str | tuple[str, ...]:
    if isinstance(given, str):
        return given
    if _are_names(given):
        return tuple(given)
    raise _flaw(f"got {short(given)}, expected a node's name or a list of names")


Stop = Annotated[str | tuple[str, ...], PlainValidator(_as_stop, json_schema_input_type=str | list[str])]


class RetrySpec(Record):
    """How often a failing node is tried. `on` names exceptions: of Python, of Loom, or by their path."""

    max_attempts: int = Field(default=_RETRY.max_attempts, ge=1)
    backoff_s: float = Field(default=_RETRY.backoff_s, ge=0)
    max_backoff_s: float = Field(default=_RETRY.max_backoff_s, ge=0)
    jitter: bool = _RETRY.jitter
    on: list[str] = ["Exception"]


class CacheSpec(Record):
    """Keep what a node gave, for `ttl_s` seconds."""

    ttl_s: float | None = Field(default=_CACHE.ttl_s, gt=0)
    max_entries: int = Field(default=_CACHE.max_entries, ge=1)


class _Policies(Record):
    retry: RetrySpec | None = None
    timeout_s: float | None = Field(default=None, gt=0)
    cache: CacheSpec | None = None


class NodeSpec(_Policies):
    """A node: of a registered type or a path, `module:attr`; or a graph of its own."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["type"]}, {"required": ["graph"]}]})

    name: str
    type: str | None = Field(default=None, description="a registered name, or a path, module:attr")
    settings: dict[str, JsonValue] = Field(default={}, description="the fields of a node class, by name")
    graph: "GraphSpec | None" = None
    pause_before: list[str] = Field(default=[], description="breakpoints of the graph in this node")
    pause_after: list[str] = []
    reads: dict[str, str] = Field(default={}, description="port: field; of a graph, its field: field of this one")
    writes: dict[str, str] = Field(default={}, description="as reads")
    ungated: str = Field(default="", description="why this write node may run without a gate before it")
    join: bool = Field(default=False, description="wait for every branch that can still come here")

    @model_validator(mode="after")
    def _is_one_thing(self) -> "NodeSpec":
        if (self.type is None) == (self.graph is None):
            raise _flaw(f'node "{self.name}": expected either "type" or "graph"')
        if self.graph and self.settings:
            raise _flaw(f'node "{self.name}": a graph has no "settings"')
        if not self.graph and (self.pause_before or self.pause_after):
            raise _flaw(f'node "{self.name}": "pause_before" and "pause_after" are of a "graph"')
        return self


class EdgeSpec(Record):
    """Edges from stop to stop. A list fans out; the stop after a list joins its branches."""

    edge: list[Stop] = Field(min_length=2)


class WaySpec(Record):
    """One way of a switch: `when` is an expression over state fields, `function` the path of a pure function."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["when"]}, {"required": ["function"]}]})

    when: str | None = None
    function: str | None = None
    to: Stop

    @model_validator(mode="after")
    def _has_one_condition(self) -> "WaySpec":
        if (self.when is None) == (self.function is None):
            raise _flaw('expected either "when" or "function"')
        return self


class SwitchSpec(Record):
    """After node `switch`, the first of `ways` that is open, else `otherwise`."""

    switch: str
    ways: list[WaySpec]
    otherwise: Stop | None = None

    @model_validator(mode="after")
    def _has_each_condition_once(self) -> "SwitchSpec":
        conditions = [way.when or way.function for way in self.ways]
        for number, condition in enumerate(conditions):
            if condition in conditions[:number]:
                raise _flaw(f'switch "{self.switch}" has two ways with the condition "{condition}"')
        return self


class EachSpec(Record):
    """After node `each`, `node` once for each item of the list in field `over`, its port `bind` set to the item."""

    each: str
    node: str
    over: str
    bind: str
    max_concurrency: int = Field(default=16, ge=1)


_DRAWN = {"edge": EdgeSpec, "switch": SwitchSpec, "each": EachSpec}


def _drawn_by(given: Any) -> str | None:
    verbs = [verb for verb in _DRAWN if isinstance(given, Mapping) and verb in given]
    return verbs[0] if len(verbs) == 1 else None


DrawnSpec = Annotated[
    Annotated[EdgeSpec, Tag("edge")] | Annotated[SwitchSpec, Tag("switch")] | Annotated[EachSpec, Tag("each")],
    Discriminator(_drawn_by),
]


class GraphSpec(_Policies):
    """A graph. Policies here are defaults of its nodes; `nodes` and `edges` stand in the order they were declared."""

    version: Literal[1] = Field(default=1, description="of the form of this spec")
    name: str
    state: str = Field(description="a registered name, or a path, module:attr")
    inputs: list[str] = Field(default=[], description="fields that every run is given")
    nodes: list[NodeSpec] = []
    edges: list[DrawnSpec] = []


def parsed(spec: Mapping[str, Any], source: Source) -> GraphSpec:
    """Check the form of a spec. Nothing is imported.

    Raises:
        SpecError: it has another form; every flaw is told.
    """
    if not isinstance(spec, Mapping):
        raise source.refusal(((), f"got {type(spec).__name__}, expected a mapping with a name, a state, nodes, edges"))
    try:
        saved = to_json(dict(spec))
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise source.refusal(((), f"it holds what is no JSON: {error}")) from None
    try:
        return GraphSpec.model_validate_json(saved)
    except ValidationError as error:
        raise source.refusal(*flaws_in(error)) from None


_KINDS = {
    "string_type": "a text", "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "list_type": "a list", "dict_type": "a mapping", "model_type": "a mapping",
    "model_attributes_type": "a mapping", "union_tag_not_found": f"a mapping with one of {quoted(_DRAWN)}: "
    "one edge, switch or each per entry",
}  # fmt: skip


def flaws_in(error: ValidationError, at: Place = (), known: Collection[str] = ()) -> Iterator[Flaw]:
    """Yield what pydantic found in the value at a place, in our words; `known` are the keys it may have."""
    for found in error.errors(include_url=False):
        place, key = _place(found["loc"]), found["loc"][-1:]
        if found["type"] == "missing":
            yield (*at, *place[:-1]), f'"{key[0]}" is missing'
        elif found["type"] == "extra_forbidden":
            name, others = str(key[0]), known if len(place) == 1 else ()
            listed = f"; there are {quoted(others)}.{did_you_mean(name, others)}" if others else ""
            yield (*at, *place), f'there is no setting "{name}"{listed}'
        else:
            yield (*at, *place), _told(found)


def _told(found: ErrorDetails) -> str:
    if found["type"] == "flaw":
        return found["msg"]
    got = f"got {short(found['input'])}"
    if found["type"] in _KINDS:
        return f"{got}, expected {_KINDS[found['type']]}"
    return f"{got}: {found['msg'].removeprefix('Value error, ')}"


def _place(loc: Place) -> Place:
    """Leave out what pydantic tells beside the keys: which of its kinds it took a drawing for."""
    return tuple(
        step
        for number, step in enumerate(loc)
        if not (number > 1 and loc[number - 2] == "edges" and isinstance(loc[number - 1], int) and step in _DRAWN)
    )
