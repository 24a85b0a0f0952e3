import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import loom
from loom import END, START, ConfigError, Graph, ModelRef, SpecError, State, load
from loom.graphs.agent import agent
from loom.graphs.harness import harness
from loom.spec.registry import GRAPHS
from tests.spec.conftest import Install
from tests.spec.corpus import MODEL, review

# Any, in this module: settings.

AGENT = """\
# An agent as a file: every name in it is registered.
name: short
state: agent
nodes:
  - name: observe
    type: observe
  - name: reason
    type: reason
    settings:
      model: {provider: openai, name: gpt-5}
    retry: {max_attempts: 2, on: [RateLimitError]}
edges:
  - edge: [START, observe, reason, END]
"""


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_a_graph_comes_back_from_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"graph{suffix}"
    spec = review().to_spec()
    path.write_text(json.dumps(spec) if suffix == ".json" else yaml.safe_dump(spec, sort_keys=False))
    for wish in (path, str(path)):
        assert load(wish, allow=("tests.spec",)).compile().fingerprint == review().compile().fingerprint
    with pytest.raises(SpecError, match=r"must not be imported"):
        load(path)


def test_a_file_may_name_what_is_registered_without_leave(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(f"\ufeff{AGENT}", encoding="utf-8")
    graph = load(path)
    assert [node.name for node in graph.compile().outline().nodes] == ["observe", "reason"]
    path.with_suffix(".json").write_text(f"\ufeff{json.dumps(graph.to_spec())}", encoding="utf-8")
    assert load(path.with_suffix(".json")).to_spec() == graph.to_spec()


def test_what_is_wrong_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(AGENT.replace("type: reason", "type: raeson"))
    said = rf'"{path}", line 8, nodes\[1\].type: no node type "raeson" is registered; .* Did you mean "reason"\?'
    with pytest.raises(SpecError, match=said):
        load(path)


def test_a_prebuilt_graph_is_loaded_by_its_name_with_its_settings() -> None:
    made = load("agent", model=MODEL, max_iterations=3)
    assert made.compile().fingerprint == agent(MODEL, max_iterations=3).compile().fingerprint
    for name in ("agent_harness", "harness"):
        loaded = load(name, generator=MODEL, evaluator=ModelRef.anthropic("claude"))
        wanted = harness(MODEL, ModelRef.anthropic("claude"))
        assert loaded.compile().fingerprint == wanted.compile().fingerprint


class Nothing(State):
    a: int = 0


ready = Graph("ready", Nothing)
ready.edge(START, END)


def wrong() -> int:
    return 1


@pytest.fixture
def plugin(install: Install) -> None:
    install(GRAPHS, **{"ready": f"{__name__}:ready", "own.ready": f"{__name__}:ready", "wrong": f"{__name__}:wrong"})


def test_an_installed_graph_is_loaded_by_its_name(plugin: None) -> None:
    assert load("ready") is load("own.ready") is ready


@pytest.mark.parametrize(
    ("wish", "settings", "error", "said"),
    [
        ("nothing.yaml", {}, SpecError, 'cannot read "nothing.yaml": No such file or directory'),
        (Path("graphs.py"), {}, SpecError, 'a graph is read from a file that ends in ".json", ".yaml", ".yml"'),
        ("x.txt", {}, SpecError, '"x.txt": a graph is read from a file that ends in ".json", ".yaml", ".yml"'),
        ("/x/gen", {}, SpecError, '"/x/gen": a graph is read from a file that ends in'),
        ("agnet", {}, SpecError, r'no graph "agnet" is registered; there are .* Did you mean "agent"\?'),
        ("graph.yaml", {"model": 1}, ConfigError, r'load\("graph.yaml"\): a file has no settings; got "model"'),
        ("agent", {}, ConfigError, r"load\(\"agent\"\): missing a required argument: 'model'; its settings are \"appr"),
        ("agent", {"modell": 1, "model": 2}, ConfigError, r"unexpected keyword argument 'modell'.*mean \"model\"\?"),
        ("ready", {"a": 1}, ConfigError, r'load\("ready"\): it is a graph, which has no settings; got "a"'),
        ("agent", {"model": 1, "allow": ("x",)}, ConfigError, "allow is for files; what is registered needs no leave"),
        (3, {}, ConfigError, 'load takes the path of a file or the name of a graph, as "agent"; got 3'),
        (None, {}, ConfigError, "load takes .*; got None"),
        (b"x.yaml", {}, ConfigError, "load takes .*; got b'x.yaml'"),
        ("agent", {"model": "openai/gpt-5"}, ConfigError, "model must be a ModelRef, as .*; got 'openai/gpt-5'"),
        ("harness", {"generator": "x"}, ConfigError, "generator must be a ModelRef, as ModelRef.*; got 'x'"),
        (
            "agent",
            {"model": MODEL, "temperature": "hot"},
            ConfigError,
            r"load\(\"agent\"\): Reason\(temperature=…\) got 'hot': Input should be a valid number",
        ),
        ("wrong", {}, SpecError, '"wrong" is registered as a graph, but is or returns int'),
    ],
)
def test_what_cannot_be_loaded_is_told(
    plugin: None, wish: Any, settings: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        load(wish, **settings)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="it is not UTF-8 text"):
        load(tmp_path / "g.json")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(SpecError, match="Is a directory"):
        load(tmp_path / "folder.yaml")


def test_load_is_at_the_door() -> None:
    assert loom.load is load
