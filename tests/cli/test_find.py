import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loom.cli.exits import LoadError
from loom.cli.find import find, made, prebuilt
from loom.core.graph import Graph
from loom.errors import ConfigError, GraphError
from loom.runs.app import CompiledGraph

if TYPE_CHECKING:
    from tests.cli.conftest import Loom


def test_a_graph_is_found_in_a_file_and_in_a_module(folder: Path) -> None:
    for wish in ("graphs.py:review", f"{folder}/graphs.py:review", "graphs:review"):
        found = find(wish)
        assert isinstance(found, Graph)
        assert found.name == "review"


def test_a_compiled_graph_and_a_function_are_found(folder: Path) -> None:
    assert isinstance(find("graphs.py:app"), CompiledGraph)
    assert not isinstance(find("graphs.py:talk"), (Graph, CompiledGraph))


def test_the_only_graph_needs_no_name_and_counts_once_if_it_is_compiled_too(folder: Path) -> None:
    (folder / "one.py").write_text("from graphs import app, review\n")
    assert isinstance(find("one.py"), Graph)
    (folder / "two.py").write_text("from graphs import app\n")
    assert isinstance(find("two"), CompiledGraph)


def test_the_only_function_that_says_it_makes_a_graph_needs_no_name(folder: Path) -> None:
    (folder / "maker.py").write_text(
        "from loom import Graph, State\n\n\nclass S(State):\n    a: int = 0\n\n\n"
        'def make() -> Graph[S]:\n    return Graph("made", S)\n\n\ndef other() -> int:\n    return 1\n'
    )
    found = find("maker.py")
    assert not isinstance(found, (Graph, CompiledGraph))
    assert made(found, {}, "maker.py").name == "made"


def test_a_package_and_what_stands_beside_a_file_can_be_imported(folder: Path) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "inner.py").write_text("from helper import graph\n")
    (folder / "helper.py").write_text("from graphs import review as graph\n")
    assert isinstance(find("package.inner:graph"), Graph)
    (folder / "package" / "beside.py").write_text("from inner import graph\n")
    assert isinstance(find("package/beside.py:graph"), Graph)


def test_a_file_called_like_a_module_of_python_does_not_replace_it(folder: Path) -> None:
    (folder / "calendar.py").write_text("from graphs import review\nmark = 1\n")
    assert isinstance(find("calendar.py:review"), Graph)
    import sys

    assert not hasattr(sys.modules.get("calendar"), "mark")


def test_prebuilt_graphs_are_found_by_their_names() -> None:
    for name in prebuilt():
        assert not isinstance(find(name), (Graph, CompiledGraph))


def test_a_graph_is_read_from_a_file_beside_which_its_modules_stand(folder: Path, loom: "Loom") -> None:
    (folder / "flows").mkdir()
    (folder / "graphs.py").rename(folder / "flows" / "graphs.py")
    (folder / "flows" / "review.yaml").write_text(
        "name: review\nstate: graphs:Review\nnodes:\n  - {name: write, type: 'graphs:write'}\n"
        "edges:\n  - edge: [START, write, END]\n"
    )
    arguments = ("flows/review.yaml", "-i", "brief=x")
    refused = loom("run", *arguments)
    assert (refused.code, refused.out) == (1, "")
    assert "line 2, state: " in refused.err
    assert "--set allow=graphs" in refused.err
    done = loom("run", *arguments, "--set", "allow=graphs, other", "--run-id", "r1", "--json")
    assert (done.code, json.loads(done.out)["state"]["drafts"]) == (0, ["x, version 1"])
    assert loom("resume", "r1").code == 0


def test_a_file_that_holds_no_graph_is_told(folder: Path, loom: "Loom") -> None:
    (folder / "broken.yaml").write_text("name: x\nname: y\n")
    done = loom("check", "broken.yaml")
    assert (done.code, done.out) == (1, "")
    assert '"broken.yaml", line 2: the key "name"' in done.err


@pytest.mark.parametrize("name", ["no.py", "no.py:review", "no.yaml", "no.yml", "no.json"])
def test_a_file_that_is_not_there_is_a_mistake_of_usage(loom: "Loom", name: str) -> None:
    done = loom("check", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f'error: there is no file "{name.removesuffix(":review")}"; GRAPH is ')


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os\nimport notthere\n", "line 2: ModuleNotFoundError: No module named 'notthere'"),
        ("x = (\n", "line 1: SyntaxError: '(' was never closed"),
        ("def f():\n    return 1 / 0\n\n\nf()\n", "line 2: ZeroDivisionError: division by zero"),
        (
            "import json\n\njson.loads('{')\n",
            "line 3: JSONDecodeError: Expecting property name enclosed in double quotes",
        ),
        ("import sys\n\nsys.exit(3)\n", "line 3: SystemExit: 3"),
        ("from loom import Graph\n\nGraph('g', int)\n", 'line 3: ConfigError: graph "g" needs a subclass of State'),
    ],
)
@pytest.mark.parametrize("wish", ["user.py", "user", "caller.py"])
def test_what_the_users_code_raises_is_told_with_file_and_line(folder: Path, code: str, said: str, wish: str) -> None:
    (folder / "user.py").write_text(code)
    (folder / "caller.py").write_text("import user\n")
    with pytest.raises(LoadError) as caught:
        find(wish)
    assert str(caught.value).startswith(f'cannot load the graph "{wish}": user.py, {said}')


def test_problems_of_a_graph_that_is_compiled_on_import_are_passed_on(folder: Path) -> None:
    (folder / "compiled.py").write_text("from bad import graph\n\napp = graph.compile()\n")
    for wish in ("compiled.py:app", "compiled"):
        with pytest.raises(GraphError):
            find(wish)


def _broken() -> None:
    raise KeyError("x")


def _wrong() -> int:
    return 1


@pytest.mark.parametrize(
    ("maker", "error", "said"),
    [
        (_broken, LoadError, r'cannot load the graph "m\.py:f": .*test_find\.py, line \d+: KeyError'),
        (_wrong, ConfigError, '"m.py:f" returned int; expected a Graph or a compiled graph'),
    ],
)
def test_a_function_must_return_a_graph(maker: Callable[[], object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        made(maker, {}, "m.py:f")
