from pathlib import Path

import pytest

from loom.cli.options import Given
from loom.cli.settings import Settings, make, settings_from
from loom.core.graph import Graph
from loom.errors import ConfigError
from loom.models.litellm import LiteLLMModel
from loom.types.models import ModelRef

MAKER = """\
from pathlib import Path
from loom import END, START, Graph, ModelRef, State, node

seen = {}


class S(State):
    a: int = 0


@node(writes="a")
def one() -> int:
    return 1


def build(
    generator: ModelRef,
    evaluator: ModelRef | None = None,
    *,
    checks: dict[str, list[str]] | None = None,
    workspace: Path | None = None,
    depth: int = 1,
    label: str = "",
    loose=None,
) -> Graph[S]:
    seen.update(locals())
    graph = Graph("built", S)
    graph.node("one", one)
    graph.edge(START, "one", END)
    return graph
"""


@pytest.fixture
def maker(folder: Path) -> Path:
    (folder / "maker.py").write_text(MAKER)
    return folder


def seen() -> dict[str, object]:
    import sys

    found: dict[str, object] = sys.modules["maker"].seen
    return found


def test_what_was_typed_is_read() -> None:
    given = Given("g.py", "openai/x", None, ["tests pass=pytest -q 'a b'"], "out", ["depth=2"], 5)
    assert settings_from(given) == Settings(
        graph="g.py",
        model="openai/x",
        checks={"tests pass": ("pytest", "-q", "a b")},
        workspace="out",
        set={"depth": "2"},
        max_steps=5,
    )


def test_settings_given_later_replace_those_of_before_and_add_to_them() -> None:
    before = Settings(
        graph="g.py", model="openai/x", checks={"a": ("1",), "b": ("2",)}, set={"depth": "1"}, max_steps=5
    )
    assert before.but(Settings(graph="")) == before
    now = before.but(Settings(graph="h.py", model="openai/y", checks={"b": ("3",)}, set={"label": "l"}, max_steps=0))
    assert now == Settings(
        graph="h.py",
        model="openai/y",
        checks={"a": ("1",), "b": ("3",)},
        set={"depth": "1", "label": "l"},
        max_steps=0,
    )


def test_a_function_gets_its_settings_by_name_and_the_model_wherever_one_is_wanted(maker: Path) -> None:
    settings = Settings(
        graph="maker.py",
        model="local/x",
        api_base="http://127.0.0.1:1/v1",
        checks={"tests pass": ("pytest",)},
        workspace="out",
        set={"depth": "2", "label": "3", "loose": "4"},
    )
    assert make(settings).model is None
    model = ModelRef("local", "x", api_base="http://127.0.0.1:1/v1")
    assert seen() == {
        "generator": model,
        "evaluator": model,
        "checks": {"tests pass": ["pytest"]},
        "workspace": Path("out"),
        "depth": 2,
        "label": "3",
        "loose": "4",
    }


def test_one_model_of_a_function_can_be_set_apart(maker: Path) -> None:
    other = '{"provider": "openai", "name": "y"}'
    make(Settings(graph="maker.py", model="openai/x", set={"evaluator": other}))
    assert seen()["generator"] == ModelRef("openai", "x")
    assert seen()["evaluator"] == ModelRef("openai", "y")


def test_a_stand_in_is_used_where_no_model_is_named(maker: Path) -> None:
    make(Settings(graph="maker.py"), stand_in=ModelRef("any", "model"))
    assert seen()["generator"] == seen()["evaluator"] == ModelRef("any", "model")


def test_a_model_stands_in_for_all_models_of_a_graph(folder: Path) -> None:
    made = make(Settings(graph="graphs.py:talking", model="local/x", api_base="http://127.0.0.1:1/v1"))
    assert isinstance(made.graph, Graph)
    assert isinstance(made.model, LiteLLMModel)
    assert made.model.ref == ModelRef("local", "x", api_base="http://127.0.0.1:1/v1")
    assert make(Settings(graph="graphs.py:talking")).model is None


@pytest.mark.parametrize("graph", ["maker.py", "graphs.py:talking"])
@pytest.mark.parametrize(
    ("model", "api_base", "said"),
    [
        (
            "nope/x",
            None,
            'model "nope:x": unknown provider "nope".*; any server that .* is --model local/NAME --api-base URL$',
        ),
        ("local/x", None, 'model "local:x" needs --api-base, the address of its server, as in "http://'),
        ("openai/x", "box/v1", "model \"openai:x\": --api-base must be an http:// or .* address, .*; got 'box/v1'$"),
    ],
)
def test_a_model_that_cannot_be_asked_is_refused_where_the_graph_is_to_run(
    maker: Path, graph: str, model: str, api_base: str | None, said: str
) -> None:
    settings = Settings(graph=graph, model=model, api_base=api_base)
    with pytest.raises(ConfigError, match=said):
        make(settings)
    # A run that was begun so, by an earlier version, can be shown.
    assert make(settings, stand_in=ModelRef("any", "model")).model is None


def test_a_model_that_is_set_apart_must_be_one_too(maker: Path) -> None:
    other = '{"provider": "openai", "name": "y", "api_base": "box"}'
    settings = Settings(graph="maker.py", model="openai/x", set={"evaluator": other})
    with pytest.raises(ConfigError, match='model "openai:y": api_base must be an http:// or'):
        make(settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(graph="maker.py"), '"maker.py" needs "generator"; give it with --model provider/name'),
        (Settings(graph="maker.py", model="x"), 'a model is written "provider/name"'),
        (Settings(graph="maker.py", api_base="x"), "--api-base says where a model is"),
        (Settings(graph="maker.py", model="a/b", set={"dept": "1"}), 'takes no --set dept=….*Did you mean "depth"'),
        (Settings(graph="maker.py", model="a/b", set={"depth": "x"}), "--set depth=…: got 'x', expected int: Input"),
        (Settings(graph="graphs.py:review", workspace="w"), '"graphs.py:review" takes no --workspace: it is a graph'),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(maker: Path, settings: Settings, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make(settings)


def test_an_annotation_that_cannot_be_read_is_told(folder: Path) -> None:
    (folder / "later.py").write_text("def build(a: 'Later'): ...\n")
    with pytest.raises(ConfigError, match="has an annotation that cannot be read: name 'Later' is not defined"):
        make(Settings(graph="later.py:build"))
