"""How a node meets the state: its inputs taken from a view, its output checked and made into writes.

All of it is closures, made once when a graph is compiled.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from anyio import to_thread
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from loom.core.context import Context
from loom.core.declared import Declared, Each, Placed
from loom.core.node import FunctionNode, Node, Port
from loom.core.state import Field
from loom.core.values import Values, exact_dumper, values_at, values_of
from loom.errors import ConfigError, LoomError, short
from loom.types.annotations import list_item, surely_fits, type_name
from loom.types.assembly import assembled
from loom.types.exact import completed, is_only_fields
from loom.types.saving import SURE, first_finding, refuse_unreadable

# Any, in this module: inputs, outputs and field values, whose types are the user's.

View = Mapping[str, Any]
Invoke = Callable[[View, Context | None], Awaitable[Any]]
Settle = Callable[[Any], tuple[dict[str, Any], bytes]]


class InputError(LoomError):
    """A field holds what is no value of the port that reads it."""


class OutputError(LoomError):
    """A node returned something else than it declares."""


ITEM = "<item>"
"""Where the view of an item's branch holds the item; no field can have this name."""


UNBOUND = "<unbound>"
"""Where no view holds anything."""


class Read(NamedTuple):
    """One bound input: the port and its type, where a view holds it, and what is known of its values.

    `take` makes the node's own of what the view holds; None where that may be shared.
    """

    port: str
    type: Any
    key: str
    values: Values
    has_default: bool
    take: Callable[[Any], Any] | None


def reads_of(declared: Declared, placed: Placed, each: Each | None) -> list[Read]:
    """Return the bound inputs of a node; a port with a default may be left unbound."""
    fields = declared.fields
    found: list[Read] = []
    for port, name in placed.inputs:
        if each and port.name == each.bind:
            values = values_of(list_item(fields[each.over].values.type))
            found.append(Read(port.name, port.type, ITEM, values, has_default=False, take=values.copy))
        elif name in fields:
            values = fields[name].values
            found.append(Read(port.name, port.type, name, values, port.has_default, values.copy))
    return found


def invoke_function(node: FunctionNode[..., Any], reads: Sequence[Read]) -> Invoke:
    """Return how to start a function node, the commonest kind by the shortest way."""
    fn, reads = node.fn, [_checking(node.name, read) for read in reads]
    if node.is_async and node.is_positional and not any(read.has_default for read in reads):
        pick = _picker(reads)
        return lambda view, _ctx: fn(*pick(view))
    gather = _gatherer(reads)
    context_parameter = node.context_parameter

    def arguments(view: View, ctx: Context | None) -> dict[str, Any]:
        own = gather(view)
        if context_parameter:
            own[context_parameter] = ctx
        return own

    if node.is_async:
        return lambda view, ctx: fn(**arguments(view, ctx))
    if node.thread:
        return lambda view, ctx: to_thread.run_sync(partial(fn, **arguments(view, ctx)), abandon_on_cancel=True)

    async def inline(view: View, ctx: Context | None) -> Any:
        return fn(**arguments(view, ctx))

    return inline


def invoke_class(node: Node[Any, Any], inputs: type[BaseModel], reads: Sequence[Read]) -> Invoke:
    """Return how to start a node of a class."""
    made, run = _assembler(inputs, reads) or _validator(inputs, reads), node.run
    return lambda view, ctx: run(made(view), ctx)  # type: ignore[arg-type]  # wants_context is True


def _validator(inputs: type[BaseModel], reads: Sequence[Read]) -> Callable[[View], BaseModel]:
    """Return how to make a node's inputs by validation."""
    gather = _gatherer(reads)
    if any(field.validation_alias for field in inputs.model_fields.values()):  # ports go by the names of the fields
        made = partial(inputs.model_validate, by_alias=False, by_name=True)
        return lambda view: made(gather(view))
    return lambda view: inputs(**gather(view))


def _assembler(inputs: type[BaseModel], reads: Sequence[Read]) -> Callable[[View], BaseModel] | None:
    """Return how to put a node's inputs together of values that need no validation; None if they do.

    They need none where the model is nothing but its fields, and each is of the type of the state's field.
    """
    ports = inputs.model_fields
    is_simple = is_only_fields(inputs) and not any(port.default_factory_takes_validated_data for port in ports.values())
    if not is_simple or not all(map(_is_checked, reads)):
        return None
    keys = dict.fromkeys(ports, UNBOUND) | {read.port: read.key for read in reads}
    copies = [(read.port, read.take) for read in reads if read.take]

    def made(view: View) -> BaseModel:
        try:
            content = {port: view[key] for port, key in table}
            given = {*content}
        except KeyError:
            given = {port for port, key in table if key in view or ports[port].is_required()}
            content = {port: view[key] if port in given else default_of(port) for port, key in table}
        for port, copy in copies:
            if port in given:
                content[port] = copy(content[port])
        return assembled(inputs, content, given)

    def default_of(port: str) -> Any:
        return ports[port].get_default(call_default_factory=True)

    table = [*keys.items()]
    return made


def _is_checked(read: Read) -> bool:
    """Tell whether to check what a field holds as a value of the port would change nothing.

    Their types are the same, as written. Limits of the field are no matter to a port that has none.
    """
    held = read.values.type
    if not read.values.is_stable:
        return False
    if get_origin(held) is Annotated and get_origin(read.type) is not Annotated:
        held = get_args(held)[0]
    return held is read.type or (held == read.type and repr(held) == repr(read.type))


def _checking(function: str, read: Read) -> Read:
    """Return how a function takes an input: checked, where the port is of another type than the field.

    What was saved has the names of the fields, what a node gave may have aliases.
    """
    if read.values.type == read.type or (read.values.is_stable and surely_fits(read.values.type, read.type)):
        return read
    try:
        values = values_at(f'node function "{function}", port "{read.port}"', read.type)
    except ConfigError:
        if get_origin(read.type) is Annotated:  # limits that make no sense
            raise
        return read  # what pydantic cannot check, as a protocol
    own, check = read.take, partial(values.validate, by_alias=True, by_name=True)

    def take(value: Any) -> Any:
        try:
            return check(own(value) if own else value)
        except ValueError as error:
            where = "the item is" if read.key == ITEM else f'field "{read.key}" holds'
            wanted = f'port "{read.port}" wants {type_name(read.type)}'
            raise InputError(f"{wanted}, {where} {short(value)}: {first_finding(error)}") from None

    return read._replace(take=take)


def _gatherer(reads: Sequence[Read]) -> Callable[[View], dict[str, Any]]:
    """Return how to take inputs from a view by port. A port with a default may find its field absent."""
    table = [(read.port, read.key, read.take, read.has_default) for read in reads]

    def gather(view: View) -> dict[str, Any]:
        return {
            port: take(view[key]) if take else view[key]
            for port, key, take, has_default in table
            if key in view or not has_default
        }

    return gather


def inputs_json(reads: Sequence[Read]) -> Callable[[View], bytes]:
    """Return how to make the JSON of a node's inputs."""
    table = [(to_json(read.port), read.key, read.values.dump) for read in reads]
    return lambda view: b",".join([b"%b:%b" % (port, dump(view[key])) for port, key, dump in table if key in view])


def _picker(reads: Sequence[Read]) -> Callable[[View], tuple[Any, ...]]:
    """Return how to take inputs from a view by position."""
    if any(read.take for read in reads):
        table = [(read.key, read.take) for read in reads]
        return lambda view: tuple([take(view[key]) if take else view[key] for key, take in table])
    keys = [read.key for read in reads]
    if len(keys) > 1:
        return itemgetter(*keys)
    if keys:
        only = keys[0]
        return lambda view: (view[only],)
    return lambda _view: ()


def settle_one(node: str, port: Port, field: Field) -> Settle:
    """Return how to make the value that a node returned the write of one field."""
    name, values = field.name, field.values
    validate, dump, is_exact, settled = values.validate, values.dump, values.is_exact, values.settle
    doubt = values.refuse_unreadable
    head = b"{" + field.key + b":"
    is_alike = port.type in (Any, values.type)
    check = None if is_alike else values_at(f'node "{node}", output "{port.name}"', port.type).validate

    def settle(returned: Any) -> tuple[dict[str, Any], bytes]:
        try:
            value = returned if check is None else check(returned)
            if is_exact:
                value = validate(value)
                saved = dump(value)
                if doubt and len(saved) > SURE:
                    doubt(saved)
            else:
                value, saved = settled(value)
        except ValueError as error:  # ValidationError, PydanticSerializationError
            raise _bad_output(node, port.name, name, values, returned, error) from None
        return {name: value}, head + saved + b"}"

    return settle


def settle_many(node: str, returns: type[BaseModel] | None, outputs: Sequence[tuple[Port, Field]]) -> Settle:
    """Return how to make the model that a node returned the writes of the ports that were set.

    Mostly all values are exact, so that their JSON can be made at once.
    """
    if returns is None:
        return partial(_settle_none, node)
    table = [(port.name, field.name, field.values.looks_exact, field.values.validate) for port, field in outputs]
    checks = {port.name: check for port, field in outputs if (check := _limits(node, port, field))}
    can_be_exact = not checks and all(field.values.is_exact or field.values.looks_exact for _, field in outputs)
    has_doubtful = any(field.values.refuse_unreadable and not field.values.looks_exact for _, field in outputs)
    dump = exact_dumper()

    def settle(returned: Any) -> tuple[dict[str, Any], bytes]:
        made = returned if isinstance(returned, returns) else _read_as(node, returns, returned)
        if not can_be_exact:
            return _settle_each(node, outputs, checks, made)
        content, given = made.__dict__, made.__pydantic_fields_set__
        writes: dict[str, Any] = {}
        try:
            for port, name, looks_exact, validate in table:
                if port in given:
                    value = content[port]
                    if looks_exact is None:
                        value = validate(value)
                    elif not (found := looks_exact(value)):
                        if found is False:
                            return _settle_each(node, outputs, checks, made)
                        value = completed(value)
                    writes[name] = value
            saved = dump(writes)
            if has_doubtful and len(saved) > SURE:
                refuse_unreadable(saved)
        except (ValueError, KeyError):
            return _settle_each(node, outputs, checks, made)  # which tells whose value it is
        return writes, saved

    return settle


def _settle_none(node: str, returned: Any) -> tuple[dict[str, Any], bytes]:
    if returned is not None:
        raise OutputError(f'node "{node}" returned {short(returned)}, but has no output; say @node(writes="field")')
    return {}, b"{}"


def _read_as(node: str, returns: type[BaseModel], returned: Any) -> BaseModel:
    try:
        return returns.model_validate(returned)
    except ValidationError as error:
        raise OutputError(
            f'node "{node}" returned {type(returned).__name__}; expected {returns.__name__}: {first_finding(error)}'
        ) from None


def _limits(node: str, port: Port, field: Field) -> Callable[[Any], Any] | None:
    """Return how to check the limits of a port that its field does not have: an instance may be made without them."""
    if get_origin(port.type) is not Annotated or port.type == field.values.type:
        return None
    values = values_at(f'node "{node}", output "{port.name}"', port.type)
    return values.validate if values.is_stable else None


def _settle_each(
    node: str, outputs: Sequence[tuple[Port, Field]], checks: Mapping[str, Callable[[Any], Any]], made: BaseModel
) -> tuple[dict[str, Any], bytes]:
    writes: dict[str, Any] = {}
    saved: list[bytes] = []
    for port, field in outputs:
        if port.name in made.model_fields_set:
            value = getattr(made, port.name)
            try:
                checked = checks[port.name](value) if port.name in checks else value
                writes[field.name], text = field.values.settle(checked)
            except ValueError as error:
                raise _bad_output(node, port.name, field.name, field.values, value, error) from None
            saved.append(field.key + b":" + text)
    return writes, b"{" + b",".join(saved) + b"}"


def _bad_output(node: str, port: str, field: str, values: Values, value: Any, error: ValueError) -> OutputError:
    return OutputError(
        f'node "{node}", output "{port}": {short(value)} is no {type_name(values.type)}, '
        f'which field "{field}" holds: {first_finding(error)}'
    )
