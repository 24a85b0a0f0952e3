import pytest

from loom import END, START, Graph, LoomError, Retry, State, node
from loom.runs.points import due_in, past_at, points
from tests.core.letters import BEGUN, NESTED, chain, failing, graph_of, journal_of, plan_of, step

pytestmark = pytest.mark.anyio


async def test_the_points_of_a_run_are_its_input_and_its_steps() -> None:
    app = chain("ab")
    await app.run({"note": "hi"}, run_id="r")
    found = await app.history("r")
    assert [(point.seq, point.node, point.branch, point.next) for point in found] == [
        (0, "START", "", ("a",)),
        (1, "a", "", ("b",)),
        (2, "b", "", ()),
    ]
    assert [point.writes for point in found] == [{"log": [], "note": "hi"}, {"log": ["a"]}, {"log": ["b"]}]
    assert found[0].at <= found[1].at <= found[2].at
    assert all(point.duration_s >= 0 and point.attempt == 1 for point in found)


async def test_points_of_a_fan_out_name_the_branches_and_all_that_is_due() -> None:
    found = points(
        plan_of(NESTED),
        journal_of(
            NESTED,
            BEGUN,
            step(1, "a", ["b", "c"]),
            step(2, "b", ["d", "e"], "0"),
            step(3, "e", ["f"], "0.1"),
            step(4, "c", ["g"], "1"),
            step(5, "d", ["f"], "0.0"),
            step(6, "f", ["g"], "0"),
            step(7, "g", ["END"]),
        ),
    )
    assert [point.next for point in found] == [
        ("a",), ("b", "c"), ("d", "e", "c"), ("d", "c"), ("d",), ("f",), ("g",), (),
    ]  # fmt: skip
    assert [point.branch for point in found] == ["", "", "0", "0.1", "1", "0.0", "0", ""]


async def test_a_way_chosen_later_is_told_at_the_newest_point() -> None:
    app = chain("ab")
    undecided = [BEGUN, step(1, "a", None)]
    assert [point.next for point in points(plan_of(app), journal_of(app, *undecided))] == [("a",), ()]
    decided = journal_of(app, *undecided, {"kind": "taken", "node": "a", "branch": "", "taken": ["b"]})
    assert [point.next for point in points(plan_of(app), decided)] == [("a",), ("b",)]
    assert due_in(past_at(plan_of(app), decided, 1)) == ("b",)


async def test_a_point_tells_which_attempt_succeeded() -> None:
    retry = Retry(backoff_s=0)
    app = graph_of((START, "a", END), bodies={"a": failing(ValueError())}, retry={"a": retry}).compile()
    await app.run(run_id="r")
    assert [point.attempt for point in await app.history("r")] == [1, 2]


# The state at a step.


async def test_inside_a_fan_out_the_state_is_the_trunks_and_each_branch_has_its_own() -> None:
    journal = journal_of(
        NESTED,
        BEGUN,
        step(1, "a", ["b", "c"]),
        step(2, "b", ["d", "e"], "0"),
        step(3, "e", ["f"], "0.1"),
        step(4, "d", ["f"], "0.0"),
        step(5, "c", ["g"], "1"),
        step(6, "f", ["g"], "0"),
    )

    def log(at: int, branch: str | None = None) -> str:
        return "".join(past_at(plan_of(NESTED), journal, at).walk.view(branch)["log"])

    assert [log(at) for at in range(7)] == ["", "a", "a", "a", "a", "a", "abdefc"]
    assert (log(2, "0.0"), log(2, "0.1"), log(2, "1")) == ("ab", "ab", "a")
    assert (log(3, "0.0"), log(3, "0.1")) == ("ab", "abe")
    assert (log(4, "0"), log(5, "1"), log(5, "0")) == ("abde", "ac", "abde")
    with pytest.raises(LoomError, match=r'no branch "0\.1" is alive here; alive are "0", "1"'):
        log(4, "0.1")


async def test_a_field_that_was_never_written_is_absent() -> None:
    class Answered(State):
        question: str
        answer: str

    @node(writes="answer")
    async def answer(question: str) -> str:
        return question.upper()

    graph = Graph("answered", Answered)
    graph.node("answer", answer)
    graph.edge(START, "answer", END)
    app = graph.compile()
    await app.run({"question": "why"}, run_id="r")
    before = await app.state("r", at=0)
    assert before.question == "why"
    with pytest.raises(AttributeError, match='field "answer" of Answered was never written and has no default'):
        _ = before.answer
    assert (await app.state("r")).answer == "WHY"
