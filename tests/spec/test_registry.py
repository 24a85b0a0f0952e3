from pathlib import Path

import pytest

from loom import SpecError
from loom.core.node import Node
from loom.core.state import State
from loom.spec.registry import GRAPHS, NODES, STATES, flaw_of, load_registered, name_of, registered
from tests.spec.conftest import Install

ROOT = Path(__file__).parents[2]


def test_every_node_that_loom_brings_is_registered_under_the_name_of_its_file() -> None:
    files = {path.stem for path in (ROOT / "nodes").glob("*.py")} - {"__init__"}
    assert files == set(registered(NODES))
    for name in files:
        kind = load_registered(NODES, name)
        assert issubclass(kind, Node)
        assert kind.__module__ == f"loom.nodes.{name}"


def test_every_graph_that_loom_brings_is_registered_with_its_state() -> None:
    files = {path.stem for path in (ROOT / "graphs").glob("*.py")} - {"__init__"}
    assert files == set(registered(STATES)) == set(registered(GRAPHS)) - {"agent_harness"}
    for name in files:
        assert issubclass(load_registered(STATES, name), State)
        assert load_registered(GRAPHS, name).__module__ == f"loom.graphs.{name}"
    assert load_registered(GRAPHS, "agent_harness") is load_registered(GRAPHS, "harness")


def test_a_path_has_the_name_it_is_registered_under() -> None:
    assert name_of(NODES, "loom.nodes.act:Act") == "act"
    assert name_of(NODES, "loom.nodes.act:ActIn") == ""


def test_a_package_registers_types_of_its_own(on_path: Path, install: Install) -> None:
    (on_path / "spec_plugin.py").write_text("1 / 0\n")
    install(NODES, plugged="spec_plugin:Plugged", sorted="builtins:sorted")
    assert {"plugged", "sorted", "act"} <= set(registered(NODES))
    assert load_registered(NODES, "sorted") is sorted
    with pytest.raises(SpecError, match='"plugged", which is "spec_plugin:Plugged", raised ZeroDivisionError'):
        load_registered(NODES, "plugged")


def test_a_name_that_means_two_things_means_neither(install: Install) -> None:
    install(NODES, act="spec_plugin:Act", veto="loom.nodes.veto:Veto")
    with pytest.raises(SpecError, match='several packages register the node type "act": "loom'):
        load_registered(NODES, "act")
    assert name_of(NODES, "loom.nodes.act:Act") == ""
    assert flaw_of(NODES, "veto") == ""


def test_an_unknown_name_is_told_with_what_there_is() -> None:
    with pytest.raises(SpecError, match=r'no graph "harnes" is registered; there are "agent", .*mean "harness"\?'):
        load_registered(GRAPHS, "harnes")
