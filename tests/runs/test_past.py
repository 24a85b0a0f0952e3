from random import Random
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loom import (
    END,
    START,
    CheckpointError,
    Graph,
    GraphChangedError,
    MemoryCheckpointer,
    Runtime,
    State,
    append,
    node,
)
from loom.runs.past import Past
from tests.core.letters import BEGUN, after_crash, chain, fan, journal_of, plan_of, step
from tests.core.sketches import INPUTS, Sketch, idle, sketches

pytestmark = pytest.mark.anyio

# What is read back.


@settings(max_examples=40, derandomize=True)
@given(sketches(), st.randoms(use_true_random=False))
def test_the_records_give_the_same_walk_again(sketch: Sketch, chance: Random) -> None:
    """Walk by hand, writing records; a past that takes them in one by one has the same branches and views."""
    plan = plan_of(sketch.graph(idle))
    past, again = Past(plan, "r"), Past(plan, "r")
    names = [task.name for task in plan.tasks]
    start = [names[target] for target in plan.start[0].targets if target >= 0] or ["END"]
    for one in (past, again):
        one.take({"kind": "input", "at": 0.0, "values": {**INPUTS, "log": []}, "taken": start})
    seq = 0
    while past.walk.live:
        due = past.walk.due()
        branch = due[chance.randrange(len(due))]
        writes, seq = sketch.act(names[branch.at], branch.view), seq + 1
        view: dict[str, Any] = dict(branch.view) | {"log": [*branch.view["log"], *writes["log"]]}
        view[names[branch.at]] = branch.view[names[branch.at]] + 1
        way = plan.way_on(branch.at, view)
        assert way is not None
        taken = [names[target] if target >= 0 else "END" for target in way.targets]
        record = step(seq, names[branch.at], taken, branch.id, writes=writes)
        for one in (past, again):
            one.take({"at": 0.0, **record})
        assert list(again.walk.live) == list(past.walk.live)
        assert [one.id for one in again.newly_due] == [one.id for one in past.newly_due]
    assert again.walk.view() == past.walk.view()
    assert past.totals.seq == seq


async def test_what_ends_a_run_is_known_and_what_takes_it_up_again() -> None:
    app = chain("a")
    past = Past(plan_of(app), "r")
    past.take_all(journal_of(app, BEGUN, {"kind": "end", "status": "stopped", "reason": "max_steps"}))
    assert (past.totals.status, past.totals.stop_reason) == ("stopped", "max_steps")
    past.take_all(journal_of(app, {"kind": "resume"}))
    assert (past.totals.status, past.totals.stop_reason) == ("running", None)


async def test_attempts_are_counted_until_their_step_is_finished_or_the_walk_ends() -> None:
    app = fan("abj")
    past = Past(plan_of(app), "r")
    attempt = {"kind": "attempt", "node": "a", "branch": "0", "attempt": 2, "error": "E"}
    past.take_all(journal_of(app, {**BEGUN, "taken": ["a", "b"]}, attempt))
    assert (past.notes_of("0").attempts, past.notes_of("1").attempts) == (2, 0)
    past.take_all(journal_of(app, {"kind": "end", "status": "failed"}))
    assert past.notes_of("0").attempts == 0
    past.take_all(journal_of(app, {"kind": "resume"}, attempt, step(1, "a", ["j"], "0")))
    assert past.notes_of("0").attempts == 0


async def test_usage_is_summed_over_steps_attempts_and_ends() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 1, "cost_usd": 0.5}
    app = chain("ab")
    past = Past(plan_of(app), "r")
    past.take_all(
        journal_of(
            app,
            BEGUN,
            {"kind": "attempt", "node": "a", "branch": "", "attempt": 1, "error": "E", "usage": usage},
            step(1, "a", ["b"], usage=usage),
            {"kind": "end", "status": "failed", "usage": usage},
        )
    )
    assert past.totals.usage.model_dump() == {
        "input_tokens": 9, "output_tokens": 6, "cached_tokens": 3, "cost_usd": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        step(2, "a", ["b"]),  # a number was left out
        step(1, "b", ["END"]),  # another node was due
        step(1, "a", ["b"], branch="0"),  # no such branch
    ],
)
async def test_a_step_that_was_not_due_is_damage(wrong: dict[str, Any]) -> None:
    app = chain("ab")
    past = Past(plan_of(app), "r")
    with pytest.raises(CheckpointError, match=r'run "r" holds step \d of node "[ab]" where step 1 of "a" was due'):
        past.take_all(journal_of(app, BEGUN, wrong))


async def test_a_write_that_does_not_fit_is_damage() -> None:
    class Counted(State):
        when: Annotated[list[tuple[int, int]], append] = []

    @node(writes="when")
    async def a() -> list[tuple[int, int]]:
        return [(1, 2)]

    graph = Graph("counted", Counted)
    graph.node("a", a)
    graph.edge(START, "a", END)
    app = graph.compile()
    past = Past(plan_of(app), "r")
    begun: dict[str, Any] = {"kind": "input", "values": {"when": []}, "taken": ["a"]}
    with pytest.raises(CheckpointError, match='run "r" holds a write of "when" that does not fit'):
        past.take_all(journal_of(app, begun, step(1, "a", ["END"], writes={"when": [["x"]]})))


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (step(1, "a", ["gone"]), 'node "gone"'),
        (step(1, "gone", ["b"]), 'node "gone"'),
        (step(1, "a", ["b"], writes={"gone": 1}), 'field "gone"'),
    ],
)
async def test_what_the_graph_does_not_have_is_a_changed_graph(record: dict[str, Any], what: str) -> None:
    app = chain("ab")
    past = Past(plan_of(app), "r")
    with pytest.raises(GraphChangedError, match=f"it knew the {what}") as caught:
        past.take_all(journal_of(app, BEGUN, record))
    assert [change.node for change in caught.value.changes] == ["gone"]


async def test_every_prefix_of_a_journal_can_be_read() -> None:
    store = MemoryCheckpointer()
    app = fan("abcj")
    await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    count = len((await store.read("r")).records)
    for records in range(1, count + 1):
        left = Runtime(checkpointer=await after_crash(store, "r", records))
        assert len(await app.history("r", runtime=left)) == min(records, 5)
        await app.state("r", runtime=left)
