"""Chains of nodes that act on a world, and what they leave in a store."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import anyio
from pydantic import AfterValidator, BaseModel

from loom import END, START, Context, Graph, MemoryCheckpointer, State, append, node
from loom.core.journal import decode
from loom.runs.app import CompiledGraph

# Any, in this module: what effects give and asks are answered.

Body = Callable[[Context], Awaitable[Any]]


class Seen(State):
    seen: Annotated[list[Any], append] = []


def acting(*bodies: Body, effect: Any = "write", **policies: Any) -> CompiledGraph[Seen]:
    """Return a chain of nodes, `n0` and so on, each of which appends what its body gives."""
    graph = Graph("acting", Seen)
    for number, body in enumerate(bodies):
        graph.node(f"n{number}", node_of(body, effect), ungated="a test", **policies)
    graph.edge(START, *(f"n{number}" for number in range(len(bodies))), END)
    return graph.compile()


def node_of(body: Body, effect: Any = "write") -> Any:
    @node(writes="seen", effect=effect)
    async def act(ctx: Context) -> list[Any]:
        return [await body(ctx)]

    return act


class World:
    """What effects do. Its own type counts in a fingerprint, not what it holds."""

    def __init__(self, *errors: BaseException) -> None:
        self.calls: list[Any] = []
        self._errors = list(errors)

    async def act(self, value: Any = None) -> Any:
        self.calls.append(value)
        if self._errors:
            raise self._errors.pop(0)
        return len(self.calls)

    async def hang(self) -> None:
        self.calls.append("begun")
        await anyio.sleep(60)


class Receipt(BaseModel):
    number: int
    paid: tuple[int, ...] = ()


async def receipt() -> Receipt:
    return Receipt(number=7, paid=(1, 2))


def even(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


Even = Annotated[int, AfterValidator(even)]  # which a schema cannot tell from any other number


async def records(store: MemoryCheckpointer, run_id: str = "r") -> list[dict[str, Any]]:
    return [decode(line, run_id) for line in (await store.read(run_id)).records]
