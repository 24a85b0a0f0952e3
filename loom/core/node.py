"""Typed nodes: what a graph is made of.

A node is written as a class, `Node[In, Out]`, or made of a function by `@node`. Either way the graph
sees the same: named and typed ports in and out, a kind, an effect, and something to call.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import partial, update_wrapper
from typing import Any, ClassVar, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar, overload

from pydantic import BaseModel, ConfigDict, PydanticUndefinedAnnotation
from pydantic_core import PydanticUndefined

from loom.core.context import Context, Effect
from loom.errors import ConfigError, short
from loom.types.annotations import bare, is_union, type_name

# Any, in this module: port types and values are the user's.

EFFECTS: tuple[Effect, ...] = ("pure", "read", "model", "write")
GATES = ("veto", "approve")

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out", bound=BaseModel)
P = ParamSpec("P")
R = TypeVar("R")


class Port(NamedTuple):
    """A named, typed input or output of a node. An input with a default may stay unbound."""

    name: str
    type: Any
    has_default: bool = False


class Node(BaseModel, Generic[In, Out]):
    """A capability with typed ports. Its fields are its settings; `run` is its behaviour.

    `In` and `Out` are pydantic models. Of `Out` only the fields that were set are written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: ClassVar[str] = "node"
    effect: ClassVar[Effect] = "pure"

    async def run(self, inputs: In, ctx: Context) -> Out:
        """Do the work of the node: read only `inputs` and `ctx`, return what is to be written."""
        raise NotImplementedError(f'node class "{type(self).__name__}" has no run method')

    @classmethod
    def port_models(cls) -> tuple[type[BaseModel], type[BaseModel]]:
        """Return the models of the input and output ports.

        Raises:
            ConfigError: the class does not say `Node[In, Out]`, or one of them is no model.
        """
        args: list[Any] = []
        known: dict[Any, Any] = {}  # what stands for the type variables of generic classes in between
        for base in cls.__mro__:
            meta = getattr(base, "__pydantic_generic_metadata__", None)
            if not meta or not meta["origin"]:
                continue
            args = [known.get(arg, arg) for arg in meta["args"]]
            if meta["origin"] is not Node:
                known |= zip(meta["origin"].__pydantic_generic_metadata__["parameters"], args, strict=True)
            elif all(isinstance(arg, type) and issubclass(arg, BaseModel) for arg in args):
                return args[0], args[1]
        got = ", ".join(map(type_name, args)) or "none"
        raise ConfigError(
            f'node class "{cls.__name__}" does not name its ports; derive it from Node[In, Out], two pydantic models; '
            f"got {got}"
        )


class FunctionNode(Generic[P, R]):
    """A node made of a function by `@node`. Calling it calls the function."""

    def __init__(self, fn: Callable[P, R], *, writes: str | None, kind: str, effect: Effect, thread: bool) -> None:
        update_wrapper(self, fn)
        self.fn = fn
        plain = plain_function(fn)
        self.name: str = getattr(plain, "__name__", type(fn).__name__)
        self.kind = kind
        self.effect = effect
        if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
            raise ConfigError(
                f'node function "{self.name}" is a generator; return the whole output instead of yielding'
            )
        self.is_async = inspect.iscoroutinefunction(plain)
        self.thread = thread and not self.is_async
        hints = _hints(plain, self.name)
        self.context_parameter = ""
        self.is_positional = True
        self.inputs = self._inputs(hints)
        self.writes_one = writes is not None
        self.returns: type[BaseModel] | None = None
        self.outputs = self._outputs(hints.get("return", Any), writes)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    def _inputs(self, hints: Mapping[str, Any]) -> tuple[Port, ...]:
        ports: list[Port] = []
        try:
            parameters = inspect.signature(self.fn).parameters.values()
        except ValueError:
            raise ConfigError(
                f'node function "{self.name}" has no readable signature; wrap it in a function whose parameters '
                "are the input ports"
            ) from None
        for parameter in parameters:
            annotation = hints.get(parameter.name, Any)
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise ConfigError(
                    f'node function "{self.name}" has the parameter "{parameter}"; '
                    "ports are plain named parameters, so that the graph can bind each to a field"
                )
            if _is_context(annotation):
                if self.context_parameter:
                    raise ConfigError(
                        f'node function "{self.name}" has two parameters for the context, '
                        f'"{self.context_parameter}" and "{parameter.name}"; keep one'
                    )
                self.context_parameter = parameter.name
                self.is_positional = False
                continue
            self.is_positional &= parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            ports.append(Port(parameter.name, annotation, parameter.default is not parameter.empty))
        return tuple(ports)

    def _outputs(self, annotation: object, writes: str | None) -> tuple[Port, ...]:
        if writes is not None:
            return (Port(writes, annotation),)
        if annotation is None or annotation is type(None) or annotation is Any:
            return ()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            self.returns = annotation
            return _ports_of(annotation)
        raise ConfigError(
            f'node function "{self.name}" returns {annotation}; say which field that is, @node(writes="field"), '
            "or return a pydantic model whose fields are the output ports"
        )


class GraphNode(NamedTuple):
    """A compiled graph as a node. Made by `CompiledGraph.as_node`; `plan` and `fingerprint` are that graph's.

    `reads` and `writes` map fields of the inner graph to fields of the outer one.
    """

    plan: object
    fingerprint: str
    reads: Mapping[str, str]
    writes: Mapping[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    effect: Effect
    kind: str = "graph"


AnyNode: TypeAlias = "Node[Any, Any] | FunctionNode[..., Any] | GraphNode"


def plain_function(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a partial, a node made of one or a callable object calls in the end."""
    while isinstance(fn, (partial, staticmethod, FunctionNode)):
        fn = fn.func if isinstance(fn, partial) else fn.__func__ if isinstance(fn, staticmethod) else fn.fn
    return fn if inspect.isroutine(fn) or inspect.isclass(fn) else type(fn).__call__


def _is_context(annotation: object) -> bool:
    annotation = bare(annotation)
    if is_union(annotation):
        return any(map(_is_context, typing.get_args(annotation)))
    return isinstance(annotation, type) and issubclass(annotation, Context)


def _hints(fn: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise ConfigError(
            f'node function "{name}" has an annotation that cannot be resolved: {error}; '
            "types in annotations must be importable names of the function's module"
        ) from None


def _ports_of(model: type[BaseModel]) -> tuple[Port, ...]:
    if not model.__pydantic_complete__:  # its types were not all defined when it was
        try:
            model.model_rebuild()
        except PydanticUndefinedAnnotation as error:
            raise ConfigError(
                f'port model "{model.__name__}" names the type "{error.name}", which does not exist; '
                "define or import it"
            ) from None
    return tuple(
        Port(name, typing.Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation,
             info.default is not PydanticUndefined or info.default_factory is not None)
        for name, info in model.model_fields.items()
    )  # fmt: skip


def inputs_of(given: AnyNode) -> tuple[Port, ...]:
    """Return the input ports of a node.

    Raises:
        ConfigError: its class does not say what the ports are.
    """
    return given.inputs if isinstance(given, (FunctionNode, GraphNode)) else _ports_of(given.port_models()[0])


def outputs_of(given: AnyNode) -> tuple[Port, ...]:
    """Return the output ports of a node.

    Raises:
        ConfigError: its class does not say what the ports are.
    """
    return given.outputs if isinstance(given, (FunctionNode, GraphNode)) else _ports_of(given.port_models()[1])


def class_flaw(given: "Node[Any, Any]") -> str:
    """Return why a node of this class cannot run; empty if it can."""
    kind = type(given)
    run = inspect.getattr_static(kind, "run")
    if given.effect not in EFFECTS:
        return f'node class "{kind.__name__}" has the effect "{given.effect}"; expected one of {", ".join(EFFECTS)}'
    if run is inspect.getattr_static(Node, "run"):
        return f'node class "{kind.__name__}" has no run method; write async def run(self, inputs, ctx)'
    if not inspect.iscoroutinefunction(run):
        return f'the run method of node class "{kind.__name__}" is not async; write async def run(self, inputs, ctx)'
    try:
        inspect.signature(run).bind(given, None, None)
    except TypeError as error:
        return f'the run method of node class "{kind.__name__}" has {error}; write async def run(self, inputs, ctx)'
    return ""


@overload
def node(fn: Callable[P, R], /) -> FunctionNode[P, R]: ...
@overload
def node(
    *, writes: str | None = None, kind: str = "node", effect: Effect = "pure", thread: bool = True
) -> Callable[[Callable[P, R]], FunctionNode[P, R]]: ...
def node(
    fn: Callable[P, R] | None = None,
    /,
    *,
    writes: str | None = None,
    kind: str = "node",
    effect: Effect = "pure",
    thread: bool = True,
) -> FunctionNode[P, R] | Callable[[Callable[P, R]], FunctionNode[P, R]]:
    """Make a node of a function: its parameters are the input ports.

    The output is the one field `writes`, or the fields of the pydantic model that the function
    returns; a function that returns None writes nothing. A parameter annotated `Context` receives
    the context. A plain `def` runs in a worker thread, or with `thread=False` inline.

    Raises:
        ConfigError: the signature does not say what the ports are.
    """
    for word, given, allowed in (("writes", writes, str | None), ("kind", kind, str), ("thread", thread, bool)):
        if not isinstance(given, allowed):
            wanted = "a bool" if word == "thread" else "a text"
            raise ConfigError(f"@node({word}=…) must be {wanted}; got {short(given)}")
    if effect not in EFFECTS:
        raise ConfigError(f"@node(effect=…) must be one of {', '.join(EFFECTS)}; got {short(effect)}")

    def make(fn: Callable[P, R]) -> FunctionNode[P, R]:
        if not callable(fn):
            raise ConfigError(
                f'@node takes a function, and its options by name, @node(writes="field"); got {short(fn)}'
            )
        return FunctionNode(fn, writes=writes, kind=kind, effect=effect, thread=thread)

    return make if fn is None else make(fn)
