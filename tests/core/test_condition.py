import functools
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from loom import END, START, Graph, NodeError, State, node
from loom.core.condition import FUNCTIONS, Condition, condition_of, flaw_in, parse

# Any, in this module: field values.


class Verdict(BaseModel):
    passed: bool = True
    scores: list[int] = [3, 1, 2]

    @property
    def best(self) -> int:
        return max(self.scores)


VIEW: Mapping[str, Any] = {
    "score": 0.9,
    "count": 3,
    "drafts": ["a", "b", "c"],
    "verdict": Verdict(),
    "table": {"key": [1, 2]},
    "name": "loom",
    "nothing": None,
    "flag": True,
}


def decided(text: str) -> bool:
    condition = parse(text)
    assert flaw_in(condition, VIEW) == ""
    return condition.holds(VIEW)


# What is allowed.


@pytest.mark.parametrize(
    "text",
    [
        "score >= 0.8",
        "count == 3 and score > 0.5",
        "count < 3 or flag",
        "not nothing",
        "0 < count < 5 <= 5",
        "'a' in drafts and 'z' not in drafts",
        "nothing is None",
        "name is not None",
        "count + 1 - 2 == 2",
        "count * 2 / 3 == 2",
        "count // 2 == 1 and count % 2 == 1",
        "-count < +count",
        "drafts[0] == 'a'",
        "drafts[-1] == 'c'",
        "drafts[1:] == ['b', 'c']",
        "drafts[::2] == ['a', 'c'] and drafts[:-1] == ['a', 'b']",
        "table['key'][1] == 2",
        "verdict.passed",
        "verdict.scores[0] == verdict.best",
        "len(drafts) == 3",
        "any(verdict.scores) and all(verdict.scores)",
        "min(verdict.scores) == 1 and max(verdict.scores) == 3",
        "max(count, 7) == 7",
        "sum(verdict.scores) == 6",
        "abs(-count) == 3",
        "round(score) == 1",
        "count in (1, 2, 3)",
        "count in [3] and count in {3}",
        "{'a': 1}[drafts[0]] == 1",
        "name == 'lo' + 'om'",
        "flag == True and nothing == None",
        "1_000 > count and 1e3 > count and 0x10 > count",
        "  count == 3  ",
        "(count\n== 3)",
        "drafts",
    ],
)
def test_an_expression_over_fields_is_decided(text: str) -> None:
    assert decided(text) is True


@pytest.mark.parametrize("text", ["score < 0.8", "nothing", "drafts[3:]", "count == '3'", "not flag"])
def test_an_expression_that_is_false_is_false(text: str) -> None:
    assert decided(text) is False


def test_a_condition_knows_the_fields_it_reads_and_the_functions_it_calls() -> None:
    condition = parse("len(drafts) > count and score > count or verdict.passed")
    assert set(condition.reads) == {"drafts", "count", "score", "verdict"}
    assert len(condition.reads) == 4
    assert condition.calls == ("len",)


def test_equal_expressions_are_parsed_once() -> None:
    assert parse("score > 0.25") is parse("score > 0.25")


@given(st.lists(st.integers()), st.integers(), st.floats(allow_nan=False))
def test_an_expression_means_what_python_means(drafts: list[int], count: int, score: float) -> None:
    view = {"drafts": drafts, "count": count, "score": score}
    text = "len(drafts) > 2 and count % 3 == 1 or score < count <= 10 or count in drafts[:2]"
    assert parse(text).holds(view) == bool(
        (len(drafts) > 2 and count % 3 == 1) or score < count <= 10 or count in drafts[:2]
    )


# What is refused, and never run.


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("score >= ", "does not parse: invalid syntax"),
        ("", "does not parse: invalid syntax"),
        ("score = 1", "does not parse"),
        ("if score: pass", "does not parse"),
        ("import os", "does not parse"),
        ("count; score", "does not parse"),
        ("\0", "does not parse"),
        ("'\ud800'", "does not parse"),
        ("9" * 5000, "does not parse"),
        ("name.upper() == 'LOOM'", "calls a method"),
        ("drafts.append('x')", "calls a method"),
        ("'{0.__class__}'.format(name)", "calls a method"),
        ("table['key'](1)", "calls a method"),
        ("len(drafts)(1)", "calls a method"),
        ("(lambda: 1)()", "calls a method"),
        ("open('x')", 'calls "open"; expected one of "abs", "all", "any", "len", "max", "min", "round", "sum"'),
        ("print(name)", 'calls "print"; expected one of'),
        ("eval('1')", 'calls "eval"; expected one of'),
        ("__import__('os')", 'calls "__import__"; expected one of'),
        ("getattr(name, 'upper')", 'calls "getattr"; expected one of'),
        ("max(drafts, key=len)", 'gives "max" a keyword or star argument'),
        ("max(*drafts)", 'gives "max" a keyword or star argument'),
        ("round(**table)", 'gives "round" a keyword or star argument'),
        ("[*drafts] == []", "uses a star"),
        ("len({**table}) == 1", "uses a star"),
        ("[x for x in drafts]", "uses a comprehension"),
        ("{x for x in drafts}", "uses a comprehension"),
        ("{x: 1 for x in drafts}", "uses a comprehension"),
        ("any(x for x in drafts)", "uses a comprehension"),
        ("lambda: True", "uses a lambda"),
        ("count if flag else score", "uses an if-else"),
        ("count ** 2 > 4", "uses **"),
        ("f'{name}' == 'loom'", "uses an f-string"),
        ("(found := count) > 1", "uses an assignment"),
        ("(yield)", "uses Yield"),
        ("await name", "uses await"),
        ("(count > 1) & flag", "uses & (write and)"),
        ("flag | flag", "uses | (write or)"),
        ("~count", "uses ~ (write not)"),
        ("count ^ 1", "uses BitXor"),
        ("count << 1", "uses LShift"),
        ("drafts @ drafts", "uses MatMult"),
        ("name.__class__", 'reads the attribute "__class__"'),
        ("''.__class__.__mro__[1].__subclasses__", 'reads the attribute "__'),
        ("verdict._private", 'reads the attribute "_private"'),
        ("count is 3", 'uses "is" with something else than None; write =='),
        ("name is not 'x'", 'uses "is" with something else than None; write =='),
        ("None is nothing", 'uses "is" with something else than None; write =='),
        ("nothing is None is flag", 'uses "is" with something else than None; write =='),
        ("scor >= 0.8", 'reads "scor", which is no field; fields are'),
        ("__builtins__", 'reads "__builtins__", which is no field'),
        ("len > 2", 'uses "len" without calling it'),
        ("len(len)", 'uses "len" without calling it'),
    ],
)
def test_what_is_not_allowed_is_refused_and_named(text: str, what: str) -> None:
    flaw = flaw_in(parse(text), VIEW)
    assert what in flaw
    assert flaw.startswith(f'condition "{text[:200]}" ')


def test_a_misspelt_field_is_answered_with_the_nearest() -> None:
    assert flaw_in(parse("scor >= 0.8"), VIEW).endswith(' Did you mean "score"?')


def test_a_refusal_says_what_to_write_instead() -> None:
    remedy = "write comparisons, logic and arithmetic over state fields, or pass a function"
    for text in ("name.upper()", "[x for x in drafts]", "count ** 2"):
        assert remedy in parse(text).flaw


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "count" + ")" * 5000,
        "not " * 20000 + "flag",
        "-" * 20000 + "count",
        "+".join(["count"] * 20000),
        "table" + "[0]" * 20000,
        "verdict" + ".a" * 20000,
    ],
    ids=["brackets", "not", "minus", "plus", "index", "attribute"],
)
def test_a_condition_that_nests_too_deep_is_refused(text: str) -> None:
    flaw = parse(text).flaw
    assert "does not parse" in flaw
    assert len(flaw) < 500


def test_a_field_named_as_a_function_cannot_be_called() -> None:
    flaw = flaw_in(parse("len(drafts) > 1"), {"len": 3, "drafts": []})
    assert 'calls "len", which is also a field; rename the field' in flaw
    assert flaw_in(parse("len > 1"), {"len": 3}) == ""


@given(st.text() | st.text(alphabet="abcdef_.()[]{}:'\"+-*/%<>=!&|~^,@ \n0123456789lambdifortknex"))
def test_whatever_text_is_given_parsing_ends_with_a_condition_or_a_flaw(text: str) -> None:
    condition = parse(text)
    assert isinstance(condition.flaw, str)
    assert all(name in FUNCTIONS for name in condition.calls)


# Functions.


def is_good(score: float, *, count: int) -> bool:
    return score > 0.5 and count > 1


class Above:
    """A callable with a setting."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, score: float) -> bool:
        return score > self.limit

    def method(self, score: float) -> bool:
        return score > self.limit


def limited(limit: float, score: float) -> bool:
    return score > limit


@node(writes="flag")
def judge_at_once(score: float) -> bool:
    return score > 0.5


def length(name: str) -> int:
    return len(name)


@pytest.mark.parametrize(
    ("fn", "text", "reads"),
    [
        (is_good, "is_good", ("score", "count")),
        (Above(0.5), "Above", ("score",)),
        (Above(0.5).method, "method", ("score",)),
        (functools.partial(limited, 0.5), "partial", ("score",)),
        (judge_at_once, "judge_at_once", ("score",)),
        (length, "length", ("name",)),
    ],
)
def test_a_function_is_a_condition_of_the_fields_its_parameters_name(
    fn: Callable[..., object], text: str, reads: tuple[str, ...]
) -> None:
    condition = condition_of(fn)
    assert (condition.text, condition.reads, flaw_in(condition, VIEW)) == (text, reads, "")
    assert condition.holds(VIEW) is True


async def later(score: float) -> bool:
    return True


def items(score: float) -> Iterator[float]:
    yield score


async def stream(score: float) -> AsyncIterator[float]:
    yield score


@node(writes="flag")
async def judge(score: float) -> bool:
    return False


class Later:
    async def __call__(self, score: float) -> bool:
        return True


def many(*scores: float) -> bool:
    return True


def named(**scores: float) -> bool:
    return True


def fixed(score: float, /) -> bool:
    return True


def misspelt(scor: float) -> bool:
    return True


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (later, 'condition "later" is async or a generator'),
        (items, 'condition "items" is async or a generator'),
        (stream, 'condition "stream" is async or a generator'),
        (Later(), 'condition "Later" is async or a generator'),
        (functools.partial(later), 'condition "partial" is async or a generator'),
        (functools.partial(functools.partial(Later())), 'condition "partial" is async or a generator'),
        (functools.partial(stream), 'condition "partial" is async or a generator'),
        (judge, 'condition "judge" is async or a generator; a condition is a plain, pure function'),
        (functools.partial(judge), 'condition "partial" is async or a generator'),
        (node(writes="flag")(judge), 'condition "judge" is async or a generator'),
        (many, 'has the parameter "scores", which names no field'),
        (named, 'has the parameter "scores", which names no field'),
        (fixed, 'has the parameter "score", which names no field'),
        (max, 'condition "max" has no readable signature; pass a plain function'),
        (misspelt, 'reads "scor", which is no field'),
        (3, "got int as a condition; expected a string or function"),
        (None, "got NoneType as a condition; expected a string or function"),
    ],
)
def test_what_is_no_plain_function_of_fields_is_refused(given: object, what: str) -> None:
    assert what in flaw_in(condition_of(given), VIEW)


# In a graph.


class Counter(State):
    count: int = 0
    words: list[str] = []


@node(writes="count")
def step(count: int) -> int:
    return count + 1


def counting(until: object) -> Graph[Counter]:
    graph = Graph("counting", Counter)
    graph.node("step", step)
    graph.edge(START, "step")
    graph.switch("step", {until: END}, otherwise="step")
    return graph


def is_three(count: int) -> bool:
    return count >= 3


@pytest.mark.parametrize("until", ["count >= 3", is_three])
def test_the_first_condition_that_holds_is_taken(until: object) -> None:
    assert counting(until).compile().run_sync().state.count == 3


def test_a_refused_condition_is_a_problem_of_the_switch_and_is_never_run() -> None:
    graph = counting("[print for print in ().__class__.__mro__]")
    problem = next(problem for problem in graph.check() if problem.severity == "error")
    assert (problem.code, problem.where) == ("LOOM206", 'switch("step")')


def test_a_function_cannot_change_the_state() -> None:
    def spoil(words: list[str], count: int) -> bool:
        words.append("spoilt")
        return count >= 2

    assert counting(spoil).compile().run_sync().state.words == []


def test_a_condition_that_raises_is_an_error_of_its_source_that_names_it() -> None:
    with pytest.raises(NodeError, match=r'"1 / \(count - 1\) > 5".*ZeroDivisionError') as caught:
        counting("1 / (count - 1) > 5").compile().run_sync()
    assert caught.value.node == "step"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


class Awaited:
    def __init__(self, count: int) -> None:
        self.count = count

    def __await__(self) -> Iterator[None]:
        return iter(())


async def more(count: int) -> bool:
    return False


def counts(count: int) -> Iterator[bool]:
    yield False


async def counts_later(count: int) -> AsyncIterator[bool]:
    yield False


@pytest.mark.parametrize(
    ("made", "returned"),
    [(more, "coroutine"), (Awaited, "Awaited"), (counts, "generator"), (counts_later, "async_generator")],
)
@pytest.mark.filterwarnings("error")
def test_a_condition_that_returns_what_was_to_be_awaited_is_no_true_one(
    made: Callable[[int], object], returned: str
) -> None:
    def until(count: int) -> object:
        return made(count)

    app = counting(until).compile()
    told = rf'the condition "until" of its switch raised TypeError: it returned a value of type "{returned}"; a con'
    with pytest.raises(NodeError, match=told) as caught:
        app.run_sync()
    assert caught.value.node == "step"
    gc.collect()  # where a coroutine that nobody closed would tell so


def test_a_condition_at_start_that_raises_names_start() -> None:
    graph = Graph("counting", Counter)
    graph.node("step", step)
    graph.switch(START, {"1 / count > 5": "step"}, otherwise="step")
    graph.edge("step", END)
    with pytest.raises(NodeError, match=r'node "START".*"1 / count > 5".*ZeroDivisionError') as caught:
        graph.compile().run_sync()
    assert caught.value.node == START


def test_a_flawed_condition_is_drawn_as_it_was_written() -> None:
    assert isinstance(condition_of("a b"), Condition)
    assert condition_of("a b").text == "a b"
    assert condition_of(3).text == "3"
