"""Builds what users install, from a copy of the tree, and looks inside."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_SHIPPED = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "tests", "docs", "bench")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree") / "loom"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=NOT_SHIPPED)
    code = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True)
    return tree / "dist"


def expected() -> set[str]:
    """Every file of ours that a user needs, by the path it is imported or opened under."""
    files = [*(ROOT / "loom").glob("*.py"), ROOT / "loom" / "py.typed"]
    for room in (path for path in (ROOT / "loom").iterdir() if path.is_dir()):
        files += [*room.rglob("*.py"), *room.rglob("*.j2")]
    return {str(path.relative_to(ROOT)) for path in files}


def test_the_wheel_holds_loom_alone_and_each_file_once(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = Counter(wheel.namelist())
    assert {name for name, count in names.items() if count > 1} == set()
    assert {name for name in names if ".dist-info/" not in name} == expected()


def test_the_sdist_holds_each_file_once(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = Counter(name.split("/", 1)[1] for name in sdist.getnames() if "/" in name)
    assert {name for name, count in names.items() if count > 1} == set()
    ours = {name for name in names if name.endswith((".py", ".j2", "py.typed")) and name.startswith("loom/")}
    assert ours == expected()
    assert not any(name.startswith(("nodes/", "graphs/")) for name in names)


def test_the_wheel_runs_a_graph_where_nothing_else_is_in_reach(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path / "installed")!r})
import loom
from loom import END, START, Graph, State, node

class Count(State):
    n: int = 0

@node(writes="n")
def one() -> int:
    return 1

graph = Graph("count", Count)
graph.node("one", one)
graph.edge(START, "one", END)
print(loom.__file__, graph.compile().run_sync({{}}).state.n)
"""
    script = tmp_path / "count.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == f"{tmp_path}/installed/loom/__init__.py 1\n", done.stderr
