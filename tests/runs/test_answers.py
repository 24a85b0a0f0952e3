"""Tests of answers to asks."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from loom import END, START, AnswerError, Context, Graph, State, node

pytestmark = pytest.mark.anyio


class Said(State):
    answer: str = ""


class Plan(BaseModel):
    days: Annotated[int, Field(ge=1)]
    places: list[str] = []


def asking(answer_type: object) -> Graph[Said]:
    @node(writes="answer")
    async def ask(ctx: Context) -> str:
        return repr(await ctx.ask("Well?", answer_type=answer_type))

    graph = Graph("g", Said)
    graph.node("ask", ask)
    graph.edge(START, "ask", END)
    return graph


@pytest.mark.parametrize(
    ("answer_type", "good", "bad"),
    [
        (bool, True, "yes"),
        (str, "yes", 1),
        (int, 3, True),
        (Annotated[int, Field(ge=18)], 18, 17),
        (Literal["a", "b"], "a", "c"),
        (list[int], [1, 2], [1, "two"]),
        (int | None, None, "none"),
        (Plan, {"days": 2, "places": ["here"]}, {"days": 0}),
        (Plan, Plan(days=1), {"places": []}),
    ],
)
async def test_an_answer_of_the_wrong_type_changes_nothing(answer_type: object, good: object, bad: object) -> None:
    app = asking(answer_type).compile()
    paused = await app.run(run_id="r")
    (ask,) = paused.asks
    before = await app.history("r")
    with pytest.raises(AnswerError, match=f'ask "{ask.id}"'):
        await app.resume("r", answers={ask.id: bad})
    assert await app.history("r") == before
    assert (await app.resume("r")).asks == paused.asks
    assert (await app.resume("r", answers={ask.id: good})).status == "completed"


async def test_an_ask_that_is_not_open_is_told() -> None:
    app = asking(str).compile()
    await app.run(run_id="r")
    with pytest.raises(AnswerError, match='no ask "x" is open'):
        await app.resume("r", answers={"x": "?"})
