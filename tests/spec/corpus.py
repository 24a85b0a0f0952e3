"""Graphs of every shape and with every setting, made of what stands at the top of this module."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr

from loom import (
    END,
    START,
    Cache,
    Context,
    Graph,
    ModelRef,
    Node,
    RateLimitError,
    Retry,
    State,
    append,
    node,
)
from loom.core.declared import Declared
from loom.graphs.agent import agent
from loom.graphs.harness import harness

# Any, in this module: the states of graphs, and settings.


class Words(State):
    words: Annotated[list[str], append] = []
    topics: list[str] = []
    score: float = 0.0
    topic: str = ""


class OwnError(Exception):
    pass


@node(writes="words")
async def left() -> list[str]:
    return ["left"]


@node(writes="words")
async def right() -> list[str]:
    return ["right"]


async def a_function(words: list[str]) -> list[str]:
    return [*words, "made"]


made_of_a_function = node(writes="words", kind="generate")(a_function)


@node(writes="score")
async def judge(words: list[str]) -> float:
    return 0.3 * len(words)


@node(writes="words")
async def study(topic: str) -> list[str]:
    return [topic]


@node(writes="words", effect="write", kind="act")
async def ship() -> list[str]:
    return ["shipped"]


def is_good(score: float) -> bool:
    return score >= 0.8


is_as_good = is_good


class Wish(BaseModel):
    topic: str


class Draft(BaseModel):
    words: list[str]


class Style(BaseModel):
    name: str = "plain"
    marks: tuple[str, ...] = ()


class Round(BaseModel):
    shape: Literal["round"] = "round"


class Square(BaseModel):
    shape: Literal["square"] = "square"
    edge: int = 1


class Drafter(Node[Wish, Draft]):
    """A class with settings of several kinds."""

    style: Style = Style()
    times: int = 1
    weight: float = 1.0
    model: ModelRef | None = None
    form: Annotated[Round | Square, Field(discriminator="shape")] = Round()
    # Any: whatever a test wants to see written.
    extra: Any = None
    key: SecretStr | None = None

    async def run(self, inputs: Wish, ctx: Context) -> Draft:
        return Draft(words=[inputs.topic] * self.times)


class Outer:
    class Nested(State):
        words: Annotated[list[str], append] = []


def review() -> Graph[Any]:
    graph = Graph("review", Words, inputs=("topic",))
    graph.node("write", made_of_a_function)
    graph.node("judge", judge)
    graph.edge(START, "write", "judge")
    graph.switch("judge", {"score >= 0.8": END, "len(words) >= 5": END}, otherwise="write")
    return graph


def policies() -> Graph[Any]:
    graph = Graph("policies", Words, retry=Retry(2), timeout_s=5, cache=Cache(ttl_s=60))
    own = Retry(5, 0.1, 9.0, jitter=False, on=(TimeoutError, RateLimitError, OwnError))
    graph.node("a", left)
    graph.node("b", right, retry=own, timeout_s=0.5, cache=Cache(max_entries=3))
    graph.node("c", ship, ungated="only a test")
    graph.edge(START, "a", "b", "c", END)
    return graph


def fans() -> Graph[Any]:
    graph = Graph("fans", Words)
    for name in ("a", "b", "c", "d", "e"):
        graph.node(name, left)
    graph.node("late", right, join=True)
    graph.edge(START, ["a", "b"], "c", ["d", "e"], "late", END)
    return graph


def drawn_apart() -> Graph[Any]:
    graph = Graph("drawn apart", Words)
    for name in ("a", "b"):
        graph.node(name, left)
    graph.node("c", right, join=True)
    graph.edge(START, ["a", "b"])
    graph.edge("b", "c")
    graph.edge("a", "c", END)
    return graph


def ways() -> Graph[Any]:
    graph = Graph("ways", Words)
    graph.node("a", judge)
    graph.node("b", left)
    graph.node("c", right)
    graph.node("d", right, join=True)
    graph.edge(START, "a")
    graph.switch("a", {is_good: END, " score<0.1 ": ["b", "c"], "topic == 'a:b'": "d"}, otherwise=["b", "c"])
    graph.switch("b", {"words": "d"}, otherwise=END)
    graph.edge("c", "d", END)
    return graph


def each() -> Graph[Any]:
    graph = Graph("each", Words)
    graph.node("study", study)
    graph.node("after", judge)
    graph.each(START, "study", over="topics", bind="topic", max_concurrency=3)
    graph.edge("study", "after", END)
    return graph


def classes() -> Graph[Any]:
    graph = Graph("classes", Words)
    style = Style(name="grand", marks=("!", "?"))
    model = ModelRef("openai", "gpt-5", extensions={"top_p": 0.5, "stop": ["a", "b"]})
    graph.node("plain", Drafter())
    graph.node("grand", Drafter(style=style, times=3, weight=2, model=model, extra={"a": [1, None, "x"]}))
    graph.node("square", Drafter(form=Square()))
    graph.edge(START, "plain", "grand", "square", END)
    return graph


def nested() -> Graph[Any]:
    innermost = classes().compile(pause_before=["grand"], pause_after=["plain"])
    middle = Graph("middle", Words, timeout_s=3)
    middle.node("inner", innermost.as_node(reads={"topic": "topic"}, writes={"words": "words"}))
    middle.edge(START, "inner", END)
    graph = Graph("nested", Words)
    graph.node("middle", middle.compile().as_node(reads={"topic": "topic"}, writes={}))
    graph.node("last", study, reads={"topic": "topic"}, writes={"words": "words"})
    graph.edge(START, "middle", "last", END)
    return graph


def broken() -> Graph[Any]:
    """A graph that does not compile, and is drawn all the same."""
    graph = Graph("broken", Outer.Nested)
    graph.node("a", left)
    graph.node("b", right)
    graph.node("no join", right)
    graph.edge(START, [], "b")
    graph.edge(["a", "b"], END)
    graph.edge("b", ["a", "b"])
    graph.edge("a", "no join")
    graph.edge("b", "no join")
    graph.switch("a", {"nothing > ": "z"})
    return graph


def declared(graph: Graph[Any]) -> Declared:
    """Return all that a graph was told."""
    return graph._declared  # pyright: ignore[reportPrivateUsage]  # what compiles, draws and writes it is handed this


MODEL = ModelRef.openai("gpt-5")
COMMANDS = {"tests pass": ["pytest", "-q"], "it starts": ["python", "-c", "pass"]}

GRAPHS: dict[str, Callable[[], Graph[Any]]] = {
    **{make.__name__: make for make in (review, policies, fans, drawn_apart, ways, each, classes, nested)},
    "agent": lambda: agent(MODEL),
    "agent with settings": lambda: agent(
        ModelRef.anthropic("claude"), instructions="Be brief.\nOr: else.", max_iterations=7, max_output_tokens=100
    ),
    "harness": lambda: harness(MODEL),
    "harness, whole": lambda: harness(MODEL, MODEL, MODEL, checks=COMMANDS, workspace="w", max_sprints=2),
    "harness, judged": lambda: harness(MODEL, MODEL),
}
