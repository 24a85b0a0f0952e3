from typing import Annotated

import pytest

from loom import (
    END,
    START,
    Cache,
    ConfigError,
    Context,
    Graph,
    GraphError,
    MemoryCheckpointer,
    ModelRef,
    NodeError,
    Retry,
    Runtime,
    State,
    append,
    node,
)
from loom.core.node import AnyNode
from loom.runs.app import CompiledGraph
from loom.testing import ScriptedModel
from loom.types.events import Event
from loom.types.messages import Message
from loom.types.usage import Usage
from tests.clock import Clock

pytestmark = pytest.mark.anyio


class Letters(State):
    word: str = ""
    letters: list[str] = []
    size: int = 0


class Counted:
    """A node that spells a word, and counts how often it is called for each."""

    def __init__(self) -> None:
        self.calls: list[str] = []

        @node(writes="letters")
        async def spell(word: str) -> list[str]:
            self.calls.append(word)
            return list(word)

        self.node = spell


@node(writes="size")
async def count(letters: list[str]) -> int:
    return len(letters)


def spelling(work: AnyNode, cache: Cache | None) -> CompiledGraph[Letters]:
    graph = Graph("spelling", Letters)
    graph.node("spell", work, cache=cache)
    graph.node("count", count)
    graph.edge(START, "spell", "count", END)
    return graph.compile()


async def test_equal_inputs_give_what_they_gave_without_running_the_node() -> None:
    counted = Counted()
    app = spelling(counted.node, Cache())
    first, second = await app.run({"word": "abc"}), await app.run({"word": "abc"})
    assert counted.calls == ["abc"]
    assert first.state == second.state
    assert second.state.size == 3


async def test_other_inputs_run_the_node() -> None:
    counted = Counted()
    app = spelling(counted.node, Cache())
    assert [(await app.run({"word": word})).state.letters for word in ("ab", "cd", "ab")] == [
        ["a", "b"],
        ["c", "d"],
        ["a", "b"],
    ]
    assert counted.calls == ["ab", "cd"]


async def test_a_field_that_is_no_input_of_the_node_does_not_matter() -> None:
    counted = Counted()
    app = spelling(counted.node, Cache())
    await app.run({"word": "ab", "size": 1})
    await app.run({"word": "ab", "size": 2})
    assert counted.calls == ["ab"]


async def test_without_a_cache_the_node_runs_every_time() -> None:
    counted = Counted()
    app = spelling(counted.node, None)
    await app.run({"word": "ab"})
    await app.run({"word": "ab"})
    assert counted.calls == ["ab", "ab"]


async def test_what_came_out_of_the_cache_is_a_step_like_any_other() -> None:
    app = spelling(Counted().node, Cache())
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    for run_id in ("first", "second"):
        await app.run({"word": "ab"}, run_id=run_id, runtime=runtime)
    first, second = [await app.history(run_id, runtime=runtime) for run_id in ("first", "second")]
    assert [(p.seq, p.node, p.writes, p.next) for p in second] == [(p.seq, p.node, p.writes, p.next) for p in first]
    assert (await app.state("second", runtime=runtime)).letters == ["a", "b"]


@pytest.mark.parametrize(("age_s", "calls"), [(59.0, 1), (60.0, 2)])
async def test_what_is_older_than_its_time_is_made_anew(age_s: float, calls: int) -> None:
    counted, clock = Counted(), Clock()
    app = spelling(counted.node, Cache(ttl_s=60))
    await app.run({"word": "ab"}, runtime=Runtime(clock=clock))
    clock.now += age_s
    await app.run({"word": "ab"}, runtime=Runtime(clock=clock))
    assert len(counted.calls) == calls


async def test_a_hit_does_not_make_it_younger() -> None:
    counted, clock = Counted(), Clock()
    app = spelling(counted.node, Cache(ttl_s=60))
    for _ in range(3):
        await app.run({"word": "ab"}, runtime=Runtime(clock=clock))
        clock.now += 40
    assert counted.calls == ["ab", "ab"]


async def test_what_was_used_longest_ago_is_dropped_first() -> None:
    counted = Counted()
    app = spelling(counted.node, Cache(max_entries=2))
    for word in ("a", "b", "a", "c", "a", "b"):
        await app.run({"word": word})
    assert counted.calls == ["a", "b", "c", "b"]


async def test_nodes_do_not_share_what_they_keep() -> None:
    class Twice(State):
        word: str = ""
        seen: Annotated[list[str], append] = []

    @node(writes="seen")
    async def upper(word: str) -> list[str]:
        return [word.upper()]

    @node(writes="seen")
    async def lower(word: str) -> list[str]:
        return [word.lower()]

    graph = Graph("twice", Twice)
    graph.node("upper", upper, cache=Cache())
    graph.node("lower", lower, cache=Cache())
    graph.edge(START, "upper", "lower", END)
    app = graph.compile()
    for _ in range(2):
        assert (await app.run({"word": "Ab"})).state.seen == ["AB", "ab"]


async def test_mutating_what_came_out_of_the_cache_does_not_reach_the_next_hit() -> None:
    @node(writes="size")
    async def spoil(letters: list[str]) -> int:
        letters.append("spoilt")
        return len(letters)

    graph = Graph("spoiling", Letters)
    graph.node("spell", Counted().node, cache=Cache())
    graph.node("spoil", spoil)
    graph.edge(START, "spell", "spoil", END)
    app = graph.compile()
    for _ in range(3):
        result = await app.run({"word": "ab"})
        assert (result.state.letters, result.state.size) == (["a", "b"], 3)
        result.state.letters.append("spoilt by the caller")


async def test_mutating_what_the_node_returned_does_not_reach_the_cache() -> None:
    given: list[list[str]] = []

    @node(writes="letters")
    async def spell(word: str) -> list[str]:
        given.append(list(word))
        return given[-1]

    app = spelling(spell, Cache())
    await app.run({"word": "ab"})
    given[0].append("spoilt")
    assert (await app.run({"word": "ab"})).state.letters == ["a", "b"]
    assert len(given) == 1


async def test_a_failure_is_not_kept() -> None:
    calls: list[str] = []

    @node(writes="letters")
    async def spell(word: str) -> list[str]:
        calls.append(word)
        if len(calls) == 1:
            raise ValueError("not now")
        return list(word)

    app = spelling(spell, Cache())
    with pytest.raises(NodeError, match="not now"):
        await app.run({"word": "ab"})
    assert (await app.run({"word": "ab"})).state.letters == ["a", "b"]
    assert len(calls) == 2


async def test_what_a_retry_gave_at_last_is_kept() -> None:
    calls: list[int] = []

    @node(writes="letters")
    async def spell(word: str, ctx: Context) -> list[str]:
        calls.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ValueError("not now")
        return list(word)

    graph = Graph("spelling", Letters)
    graph.node("spell", spell, cache=Cache(), retry=Retry(backoff_s=0))
    graph.edge(START, "spell", END)
    app = graph.compile()
    for _ in range(2):
        assert (await app.run({"word": "ab"})).state.letters == ["a", "b"]
    assert calls == [1, 2]


async def test_a_hit_uses_no_tokens() -> None:
    @node(writes="letters")
    async def spell(word: str, ctx: Context) -> list[str]:
        ctx.usage = Usage(input_tokens=5, output_tokens=2, cost_usd=0.1)
        return list(word)

    app = spelling(spell, Cache())
    assert [(await app.run({"word": "ab"})).usage.total_tokens for _ in range(2)] == [7, 0]


async def test_what_a_person_said_is_of_one_run_and_not_kept() -> None:
    @node(writes="word")
    async def ask(ctx: Context) -> str:
        return str(await ctx.ask("Which word?"))

    graph = Graph("asking", Letters)
    graph.node("ask", ask, cache=Cache())
    graph.edge(START, "ask", END)
    app = graph.compile()
    for run_id, word in (("first", "ab"), ("second", "cd")):
        (asked,) = (await app.run(run_id=run_id)).asks
        assert (await app.resume(run_id, answers={asked.id: word})).state.word == word


async def test_a_step_that_was_answered_takes_its_answer_and_not_what_another_run_was_given() -> None:
    is_sure = [False]

    @node(writes="word")
    async def ask(ctx: Context) -> str:
        return "sure" if is_sure[0] else str(await ctx.ask("Which word?"))

    graph = Graph("asking", Letters)
    graph.node("ask", ask, cache=Cache())
    graph.edge(START, "ask", END)
    app = graph.compile()
    (asked,) = (await app.run(run_id="first")).asks
    is_sure[0] = True
    assert (await app.run(run_id="second")).state.word == "sure"
    is_sure[0] = False
    assert (await app.resume("first", answers={asked.id: "ab"})).state.word == "ab"


async def test_a_step_that_emits_is_not_kept_so_that_every_run_tells_it() -> None:
    @node(writes="word")
    async def tell(ctx: Context) -> str:
        ctx.emit(Event(type="artifact.created", payload={"name": "a"}))
        return "told"

    graph = Graph("telling", Letters)
    graph.node("tell", tell, cache=Cache())
    graph.edge(START, "tell", END)
    app = graph.compile()
    for run_id in ("first", "second"):
        await app.run(run_id=run_id)
        assert "artifact.created" in [event.type async for event in app.events(run_id)]


async def test_what_a_model_said_is_kept() -> None:
    model = ScriptedModel(["ab"])

    @node(writes="word", effect="model")
    async def say(ctx: Context) -> str:
        return (await ctx.model(ModelRef("test", "one")).complete([Message(role="user", content="Hello")])).text

    graph = Graph("saying", Letters)
    graph.node("say", say, cache=Cache())
    graph.edge(START, "say", END)
    app = graph.compile()
    for _ in range(2):
        assert (await app.run(runtime=Runtime(models=model))).state.word == "ab"


async def test_a_cache_of_the_graph_is_that_of_all_its_nodes() -> None:
    counted = Counted()
    graph = Graph("spelling", Letters, cache=Cache())
    graph.node("spell", counted.node)
    graph.edge(START, "spell", END)
    app = graph.compile()
    await app.run({"word": "ab"})
    await app.run({"word": "ab"})
    assert counted.calls == ["ab"]


async def test_a_secret_in_what_the_cache_gives_is_redacted() -> None:
    store = MemoryCheckpointer()

    @node(writes="word")
    async def whisper() -> str:
        return "canary"

    graph = Graph("whispers", Letters)
    graph.node("whisper", whisper, cache=Cache())
    graph.edge(START, "whisper", END)
    app = graph.compile()
    for run_id in ("first", "second"):
        result = await app.run(run_id=run_id, runtime=Runtime(checkpointer=store, secrets=("canary",)))
        assert result.state.word == "[redacted]"
        assert all(b"canary" not in line for line in (await store.read(run_id)).records)


async def test_a_node_that_writes_to_the_world_cannot_have_one() -> None:
    @node(writes="word", effect="write")
    async def send() -> str:
        return "sent"

    graph = Graph("sending", Letters)
    graph.node("send", send, cache=Cache(), ungated="a test")
    graph.edge(START, "send", END)
    with pytest.raises(GraphError) as caught:
        graph.compile()
    assert [(problem.where, problem.message) for problem in caught.value.problems if problem.code == "LOOM302"] == [
        ('node "send"', "a cache would leave its effect out the second time; a node that writes cannot have one")
    ]


async def test_a_graph_as_a_node_cannot_have_one() -> None:
    inner = spelling(Counted().node, None)
    graph = Graph("outer", Letters)
    graph.node("inner", inner.as_node(reads={"word": "word"}, writes={"letters": "letters"}), cache=Cache())
    graph.edge(START, "inner", END)
    assert [(problem.where, problem.message) for problem in graph.check() if problem.code == "LOOM302"] == [
        ('node "inner"', "a graph cannot have a cache; give its nodes one")
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_entries": 0}, r"Cache\(max_entries=…\) must be a whole number of at least 1; got int: 0"),
        ({"ttl_s": 0}, r"Cache\(ttl_s=…\) must be more than 0 seconds; got int: 0"),
        ({"ttl_s": True}, r"Cache\(ttl_s=…\) must be more than 0 seconds; got bool: True"),
        ({"ttl_s": -1}, r"Cache\(ttl_s=…\) must be more than 0 seconds; got int: -1"),
    ],
)
def test_a_size_or_age_that_keeps_nothing_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cache(**settings)
