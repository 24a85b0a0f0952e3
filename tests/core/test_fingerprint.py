"""Tests of fingerprints: what changes them and what does not."""

import importlib.util
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import dedent, indent
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field

from loom import END, START, Context, Graph, Node, Reducer, Retry, State, add, append, merge, node
from loom.core.fingerprint import function_body, graph_parts, state_parts
from loom.core.node import AnyNode

# Any, in this module: functions, values and types of every kind.

_NUMBERS = itertools.count()


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], Any]:
    """Return what makes a module of a text and gives its `f`."""

    def make(text: str) -> Any:
        path = tmp_path / f"made_for_fingerprints_{next(_NUMBERS)}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec
        assert spec.loader
        module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # where pydantic looks for it
        spec.loader.exec_module(module)
        return module.f

    return make


PLAIN = """
async def f(a, b=1):
    if a > b:
        return [a, "x"]
    return None
"""


@pytest.mark.parametrize(
    "same",
    [
        """
async def f(a, b=1):
    # a comment
    if a > b:  # another
        return [a, 'x']


    return None
""",
        '''
async def f(a, b=1):
    """A docstring,

which has a line at the margin."""
    if (a > b):
        return [
            a, "x",
        ]
    return None
''',
        """
if True:
    async def g(a, b=1):
        if a > b: return [a, "x"]
        return None
f = g
""",
        """
def outer():
    async def inner(a, b=1):
        if a > b:
            return [a, u"x"]
        return None
    return inner
f = outer()
""",
        """
def passed(fn):
    return fn
@passed
async def f(a, b=1):
    if a > b:
        return [a, "x"]
    return None
""",
        """
unused = 5
async def f(a, b = 1):
    if a > b:
        return [a,
                "x"]
    return None
async def g(a, b=2):
    return None
""",
    ],
)
def test_comments_docstrings_layout_names_and_decorators_do_not_count(made: Any, same: str) -> None:
    assert function_body(made(same)) == function_body(made(PLAIN))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a > b", "a >= b"),
        ('"x"', '"y"'),
        ("b=1", "b=2"),
        ("b=1", "b"),
        ("b=1", "*, b=1"),
        ("return None", "return 0"),
        ("async def", "def"),
        ("a, b=1", "a: int, b=1"),
        ("return None", "return None and 1"),
    ],
)
def test_every_change_of_meaning_counts(made: Any, old: str, new: str) -> None:
    assert PLAIN.count(old) == 1
    assert function_body(made(PLAIN.replace(old, new))) != function_body(made(PLAIN))


def test_a_text_that_is_not_the_docstring_counts(made: Any) -> None:
    assert function_body(made('def f():\n    "doc"\n    return 1')) == function_body(made("def f():\n    return 1"))
    assert function_body(made('def f():\n    1\n    "text"')) != function_body(made("def f():\n    1"))


def test_keyword_defaults_count(made: Any) -> None:
    def with_default(value: int) -> str:
        return function_body(made(f"value = {value}\ndef f(*, a=value): return a"))

    assert with_default(1) == with_default(1) != with_default(2)


# What a function closes over


def closing(value: Any) -> str:
    def fn() -> Any:
        return value

    return function_body(fn)


class Point(BaseModel):
    x: int
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Setting:
    name: str
    of: Any = None


class Live:
    """An object that is no JSON."""

    def __init__(self, number: int) -> None:
        self.number = number


def helper() -> int:
    return 1


def other_helper() -> int:
    return 2


@node(writes="i")
async def helped(i: int) -> int:
    return i


@pytest.mark.parametrize(
    ("value", "same", "other"),
    [
        (1, 1, 2),
        ("a", "a", "b"),
        ([1, [2]], [1, [2]], [1, [3]]),
        ({"a": 1}, {"a": 1}, {"a": 2}),
        ({"x", "y", "z"}, {"z", "y", "x"}, {"x", "y"}),
        (frozenset({1, 2}), frozenset({2, 1}), frozenset({1})),
        ([{"a": {"x", "y"}}], [{"a": {"y", "x"}}], [{"a": {"x"}}]),
        (Point(x=1, tags=frozenset("ab")), Point(x=1, tags=frozenset("ba")), Point(x=2)),
        (Setting("a", {"x"}), Setting("a", {"x"}), Setting("b", {"x"})),
        (Setting("a", helper), Setting("a", helper), Setting("a", other_helper)),
        (helper, helper, other_helper),
        (helped, helped, helper),
        (Point, Point, Setting),
        (int, int, str),
        (len, len, max),
        (partial(helper), partial(helper), partial(other_helper)),
        (partial(closing, 1), partial(closing, 1), partial(closing, 2)),
        (partial(closing, value=1), partial(closing, value=1), partial(closing, value=2)),
        (re.compile("a"), re.compile("a"), re.compile("b")),
        (Live(1), Live(2), Setting("a")),
        (None, None, 0),
    ],
)
def test_a_closed_over_value_counts_by_its_json_or_body_and_else_by_its_type(value: Any, same: Any, other: Any) -> None:
    assert closing(value) == closing(same)
    assert closing(value) != closing(other)


def test_a_generator_is_not_used_up() -> None:
    numbers = (number for number in range(3))
    assert closing(numbers) == closing(number for number in "abc")
    assert list(numbers) == [0, 1, 2]


def test_a_function_that_closes_over_itself_comes_to_an_end() -> None:
    def recursing(by: int) -> Callable[[int], int]:
        def fact(n: int) -> int:
            return 1 if n < 2 else n * fact(n - by)

        return fact

    assert function_body(recursing(1)) == function_body(recursing(1)) != function_body(recursing(2))


def test_functions_that_close_over_each_other_come_to_an_end_soon(made: Any) -> None:
    names = "abcdefghijkl"  # as many ways through them as 12 things have orders, were each followed
    others = ", ".join(names)
    lines = [f"    def {name}():\n        return {number}, {others}" for number, name in enumerate(names)]
    text = "\n".join(["def web():", *lines, "    return a", "f = web()"])
    assert function_body(made(text)) == function_body(made(text))
    assert function_body(made(text)) != function_body(made(text.replace("return 11", "return 12")))


def test_a_list_that_holds_itself_comes_to_an_end() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert closing(loop) == closing(loop) != closing([1])


def test_a_name_that_is_not_bound_yet_is_no_error() -> None:
    def fn() -> Any:
        return later

    assert function_body(fn) == function_body(fn)
    later = 1  # pyright: ignore[reportUnusedVariable]  # `fn` closes over it


# Functions of other kinds


def test_lambdas_of_one_statement_are_told_apart() -> None:
    def three(limit: int) -> list[Callable[[int], bool]]:
        return [lambda x: x > 3, lambda x: x > 4, (lambda x: x > limit)]

    one, two, closed = map(function_body, three(1))
    assert len({one, two, closed}) == 3
    assert [one, two, closed] == [*map(function_body, three(1))]
    assert function_body(three(2)[2]) != closed


def test_a_lambda_counts_by_its_body_wherever_it_stands(made: Any) -> None:
    texts = [
        "f = lambda x: x > 3",
        "f = {'a': lambda x: x > 5,\n    'b': (lambda x: x\n          > 3)}['b']",
        "f = [lambda x: x > 3, lambda x: x > 5][0]",
        "f = (lambda: lambda x: x > 3)()",
        "def g(*a): return a[1]\nf = g(1,  # a comment\n      lambda x: x > 3, lambda y: y)",
    ]
    assert len({function_body(made(text)) for text in texts}) == 1
    assert function_body(made("f = lambda x: x > 4")) != function_body(made(texts[0]))


def test_methods_and_callable_objects_count_by_body_and_what_they_hold() -> None:
    class Adder:
        def __init__(self, by: Any) -> None:
            self.by = by

        def __call__(self, i: int) -> Any:
            return i + self.by

        def method(self, i: int) -> Any:
            return i - self.by

    class Other(Adder):
        def __call__(self, i: int) -> Any:
            return i * self.by

    assert function_body(Adder(1)) == function_body(Adder(1))
    assert len({function_body(one) for one in (Adder(1), Adder(2), Other(1))}) == 3
    assert function_body(Adder(1).method) == function_body(Adder(2).method), "what is bound is no JSON"
    assert function_body(Adder(1).method) != function_body(Adder(1))


def test_a_method_of_a_setting_counts_with_the_setting() -> None:
    @dataclass
    class Rule:
        limit: int

        def holds(self, i: int) -> bool:
            return i > self.limit

    assert function_body(Rule(1).holds) == function_body(Rule(1).holds) != function_body(Rule(2).holds)


def test_code_without_a_source_counts_by_its_bytecode() -> None:
    def compiled(text: str) -> Any:
        names: dict[str, Any] = {}
        exec(text, names)
        return names["f"]

    text = "def f(a):\n    def g(): return a in {'x', 'y'}\n    return g() and 3"
    assert function_body(compiled(text)) == function_body(compiled(text))
    for old, new in (("3", "4"), ("'y'", "'z'"), ("a in", "a not in")):
        assert function_body(compiled(text.replace(old, new))) != function_body(compiled(text))


# Nodes and graphs


class Count(State):
    i: int = 0
    j: int = 0


@node(writes="i")
async def plain(i: int) -> int:
    return i + 1


def drawn(
    fn: AnyNode = plain,
    condition: Any = "i > 1",
    state: type[State] = Count,
    reads: dict[str, str] | None = None,
    join: bool = False,
    **settings: Any,
) -> Graph[Any]:
    graph = Graph("g", state)
    graph.node("a", fn, reads=reads, join=join, **settings)
    graph.edge(START, "a")
    graph.switch("a", {condition: END}, otherwise="a")
    return graph


def changed(one: Graph[Any], other: Graph[Any]) -> set[str]:
    """Return the parts of node `a` in which two graphs differ."""
    old, new = (graph_parts(graph._declared)["a"] for graph in (one, other))  # pyright: ignore[reportPrivateUsage]
    is_same = one.compile().fingerprint == other.compile().fingerprint
    parts = {part for part in old if old[part] != new[part]}
    assert is_same == (not parts)
    return parts


class In(BaseModel):
    i: int


class Adds(Node[In, In]):
    by: int = 1
    tags: frozenset[str] = frozenset()

    async def run(self, inputs: In, ctx: Context) -> In:
        return In(i=inputs.i + self.by)


class AddsMore(Adds):
    """The same, and more."""

    async def run(self, inputs: In, ctx: Context) -> In:
        return In(i=inputs.i + self.by + 1)


def test_a_class_counts_by_its_body_and_its_settings() -> None:
    assert changed(drawn(Adds()), drawn(Adds())) == set()
    assert changed(drawn(Adds()), drawn(Adds(by=2))) == {"config"}
    assert changed(drawn(Adds(tags=frozenset("abc"))), drawn(Adds(tags=frozenset("cba")))) == set()
    assert changed(drawn(Adds()), drawn(AddsMore())) == {"body"}


def test_local_classes_count_by_their_bodies(made: Any) -> None:
    text = '''
from loom import Node, Context
from pydantic import BaseModel
class In(BaseModel):
    i: int
def make():
    class Local(Node[In, In]):
        """A docstring
that reaches the margin."""
        async def run(self, inputs: In, ctx: Context) -> In:
            prompt = """
at the margin"""
            return In(i=inputs.i + len(prompt))
    return Local()
f = make()
'''
    assert changed(drawn(made(text)), drawn(made(text.replace("A docstring", "Another")))) == set()
    assert changed(drawn(made(text)), drawn(made(text.replace("at the margin", "elsewhere")))) == {"body"}


def test_a_class_counts_by_all_it_inherits_of_a_node(made: Any) -> None:
    text = """
from loom import Node, Context
from pydantic import BaseModel
class In(BaseModel):
    i: int
class Loud:
    def word(self):
        return "aloud"
class Base(Node[In, In]):
    async def run(self, inputs: In, ctx: Context) -> In:
        return In(i=1)
class Local(Loud, Base):
    kind = "local"
f = Local()
"""
    assert changed(drawn(made(text)), drawn(made(text))) == set()
    for old, new in (("i=1", "i=2"), ("aloud", "softly"), ('"local"', '"other"')):
        assert changed(drawn(made(text)), drawn(made(text.replace(old, new)))) == {"body"} | (
            {"config"} if old == '"local"' else set()
        )


def test_a_source_that_was_spoilt_since_counts_as_none(made: Any) -> None:
    fine, spoilt = made(PLAIN), made(PLAIN)
    Path(spoilt.__code__.co_filename).write_text(PLAIN + "(")
    assert function_body(spoilt) != function_body(fine)
    assert function_body(spoilt) == function_body(spoilt)


def test_ports_and_what_they_are_bound_to_count() -> None:
    assert changed(drawn(), drawn(reads={"i": "j"})) == {"ports"}

    @node(writes="i")
    async def loose(i: float) -> int:
        return int(i)

    assert "ports" in changed(drawn(), drawn(loose))


def test_kind_effect_and_join_are_settings_and_policies_are_not() -> None:
    @node(writes="i", kind="act")
    async def acting(i: int) -> int:
        return i + 1

    @node(writes="i", effect="read")
    async def reading(i: int) -> int:
        return i + 1

    assert changed(drawn(), drawn(acting)) == {"config"}
    assert changed(drawn(), drawn(reading)) == {"config"}
    assert changed(drawn(), drawn(join=True)) == {"config"}
    assert changed(drawn(), drawn(retry=Retry(), timeout_s=5, ungated="why")) == set()


def test_conditions_count_by_meaning() -> None:
    assert changed(drawn(), drawn(condition=" i>1 ")) == set()
    assert changed(drawn(), drawn(condition="(i) > 1")) == set()
    assert changed(drawn(), drawn(condition="i > 2")) == {"edges"}
    assert changed(drawn(), drawn(condition="j > 1")) == {"edges"}


def test_functions_as_conditions_count_by_their_bodies() -> None:
    def above(limit: int) -> Graph[Any]:
        def condition(i: int) -> bool:
            return i > limit

        return drawn(condition=condition)

    assert changed(above(1), above(1)) == set()
    assert changed(above(1), above(2)) == {"edges"}


def test_targets_their_order_and_eaches_count() -> None:
    def edges(draw: Callable[[Graph[Any]], None]) -> str:
        class Items(Count):
            items: list[int] = []
            others: list[int] = []
            seen: Annotated[list[int], append] = []

        @node(writes="seen")
        async def work(item: int = 0, other: int = 0) -> list[int]:
            return [item]

        graph = Graph("g", Items)
        for name in "abc":
            graph.node(name, work)
        draw(graph)
        return graph_parts(graph._declared)["a"]["edges"]  # pyright: ignore[reportPrivateUsage]

    found = [
        edges(lambda graph: graph.edge("a", "b")),
        edges(lambda graph: graph.edge("a", "c")),
        edges(lambda graph: graph.edge("a", ["b", "c"])),
        edges(lambda graph: graph.edge("a", ["c", "b"])),
        edges(lambda graph: graph.each("a", "b", over="items", bind="item")),
        edges(lambda graph: graph.each("a", "b", over="others", bind="item")),
        edges(lambda graph: graph.each("a", "b", over="items", bind="other")),
    ]
    assert len(set(found)) == len(found)
    at_once = edges(lambda graph: graph.each("a", "b", over="items", bind="item", max_concurrency=2))
    assert at_once == found[4], "how many at once is a policy"


def test_an_inner_graph_counts_by_its_fingerprint_and_its_maps() -> None:
    def outer(condition: str = "i > 1", reads: str = "i") -> Graph[Any]:
        inner = drawn(condition=condition).compile()
        return drawn(inner.as_node(reads={"i": reads}, writes={"i": "i"}))

    assert changed(outer(), outer()) == set()
    assert changed(outer(), outer(condition="i > 2")) == {"body"}
    assert changed(outer(), outer(reads="j")) == {"config", "ports"}


def test_the_graphs_name_counts() -> None:
    one, other = drawn(), Graph("other", Count)
    other.node("a", plain)
    other.edge(START, "a")
    other.switch("a", {"i > 1": END}, otherwise="a")
    assert one.compile().fingerprint != other.compile().fingerprint


# States


def longest(old: str, new: str) -> str:
    return max(old, new, key=len)


def first(old: str, new: str) -> str:
    return old or new


def even(number: int) -> int:
    return number


def odd(number: int) -> int:
    return int(number)


def field(annotation: Any, default: Any = ...) -> Any:
    defaults = {} if default is ... else {"x": default}
    made: Any = type("Made", (State,), {"__annotations__": {"x": annotation}, **defaults})
    graph = Graph("g", made)
    return state_parts(graph._declared)["fields"]["x"]  # pyright: ignore[reportPrivateUsage]


FIELDS: list[Any] = [
    (int,),
    (str,),
    (int, 1),
    (int, 2),
    (Annotated[int, add],),
    (Annotated[int, Field(gt=1)],),
    (Annotated[int, Field(gt=2)],),
    (Annotated[int, AfterValidator(even)],),
    (Annotated[int, AfterValidator(odd)],),
    (Annotated[str, Field(pattern="a")],),
    (Annotated[str, Field(pattern="b")],),
    (list[Annotated[int, Field(gt=1)]],),
    (list[Annotated[int, Field(gt=2)]],),
    (Annotated[str, Reducer(longest)],),
    (Annotated[str, Reducer(first)],),
    (list[int],),
    (list[str],),
    (Annotated[list[int], append],),
    (Annotated[dict[str, int], merge],),
    (list[int], []),
    (list[int], Field(default_factory=list)),
    (set[str], {"a", "b"}),
    (set[str], {"a"}),
    (int | None, None),
    (int | str,),
]


def test_type_default_and_reducer_of_a_field_count() -> None:
    found = [repr(field(*one)) for one in FIELDS]
    assert len(set(found)) == len(found)
    assert found == [repr(field(*one)) for one in FIELDS]


def test_the_version_of_a_state_counts() -> None:
    class Raised(Count, version=2):
        pass

    assert drawn().compile().fingerprint != drawn(state=Raised).compile().fingerprint


# The same everywhere

PROGRAM = """
from dataclasses import dataclass
from typing import Annotated
from pydantic import AfterValidator, BaseModel, Field
from loom import END, START, Context, Graph, Node, Reducer, State, append, node

def check(value: int) -> int:
    return value

class Words(BaseModel):
    allowed: frozenset[str] = frozenset({"ab", "cd", "ef", "gh"})

@dataclass
class Local:
    tags: frozenset

class In(BaseModel):
    n: Annotated[int, AfterValidator(lambda n: n)]

class S(State):
    n: Annotated[int, AfterValidator(check), Field(ge=0)] = 0
    tags: set[str] = {"ab", "cd", "ef", "gh"}
    log: Annotated[list[str], append] = []
    word: Annotated[str, Reducer(lambda old, new: max(old, new))] = ""

class Adds(Node[In, In]):
    words: Words = Words()

    async def run(self, inputs: In, ctx: Context) -> In:
        return inputs

def make():
    allowed, local, live = {"ab", "cd", "ef"}, Local(frozenset({"ab", "cd", "ef"})), object()

    @node(writes="log")
    async def work(tags: set[str], n: Annotated[int, AfterValidator(check)]) -> list[str]:
        return [str(tag in allowed or tag in {"x", "y", "z"} or local or live) for tag in tags]

    return work

graph = Graph("g", S)
graph.node("work", make())
graph.node("adds", Adds())
graph.edge(START, "work", "adds")
graph.switch("adds", {"n > 3": END, lambda n: n in {1, 2, 3}: END}, otherwise="work")
print(graph.compile().fingerprint)
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    (folder / "program.py").write_text(PROGRAM)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "moved.py").write_text("# moved\n\n" + PROGRAM)
    return folder


def told(folder: Path, *arguments: str, seed: str) -> str:
    run = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


@pytest.mark.slow
def test_a_fingerprint_is_the_same_in_every_process(programs: Path) -> None:
    found = {
        told(programs, "program.py", seed="1"),
        told(programs, "program.py", seed="2"),
        told(programs, "-c", "import program", seed="3"),
        told(programs, str(Path("elsewhere") / "moved.py"), seed="4"),
    }
    assert len(found) == 1
    assert re.fullmatch("[0-9a-f]{24}", found.pop())


def test_a_class_that_is_indented_otherwise_is_the_same(made: Any) -> None:
    text = dedent("""
    from loom import Node, Context
    from pydantic import BaseModel
    class In(BaseModel):
        i: int
    class Local(Node[In, In]):
        async def run(self, inputs: In, ctx: Context) -> In:
            return inputs
    f = Local()
    """)
    assert changed(drawn(made(text)), drawn(made("if True:\n" + indent(text, "  ")))) == set()


def test_an_iterator_that_a_function_closes_over_is_not_used_up() -> None:
    words, numbers = iter(["a", "b"]), itertools.count()

    def take() -> Any:
        return next(words), next(numbers)

    first = function_body(take)
    assert function_body(take) == first
    assert (list(words), next(numbers)) == (["a", "b"], 0)
