"""Tests of the node that writes files."""

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.errors import ConfigError
from loom.nodes.generate_files import GenerateFiles, GenerateFilesOut
from loom.testing import ScriptedModel, run_node
from tests.nodes.sprints import BRIEF, MODEL

pytestmark = pytest.mark.anyio


def fenced(path: str, content: str = "x = 1\n") -> str:
    return f"```python {path}\n{content}```\n"


async def written(root: Path, reply: str, *, is_checked: bool = True, **inputs: object) -> GenerateFilesOut:
    node = GenerateFiles(model=MODEL, workspace=str(root), is_checked=is_checked)
    return await run_node(node, {"brief": BRIEF, **inputs}, model=ScriptedModel([reply]))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


async def test_files_are_written_and_others_refused(tmp_path: Path, node_snapshot: SnapshotAssertion) -> None:
    paths = ["src/add.py", "../out.py", "/tmp/out.py", "conftest.py", "tests/test_add.py"]
    reply = "Here:\n" + "".join(map(fenced, paths)) + "```python cut.py\nhal"
    assert await written(tmp_path / "root", reply, guarded={"tests/test_add.py": "00"}) == node_snapshot
    assert names(tmp_path) == ["root/src/add.py"]


async def test_a_link_out_of_the_workspace_is_refused_and_told(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    (root / "link").symlink_to(out)
    result = await written(root, fenced("link/a.py") + fenced("b.py"))
    assert result.files == ("b.py",)
    assert [told for told in result.refused if "link/a.py" in told and "no link is followed" in told]
    assert names(out) == []


async def test_without_checks_nothing_steers_them(tmp_path: Path) -> None:
    result = await written(tmp_path, fenced("conftest.py"), is_checked=False)
    assert (result.files, names(tmp_path)) == (("conftest.py",), ["conftest.py"])


async def test_a_reply_without_files_writes_none(tmp_path: Path) -> None:
    result = await written(tmp_path, "I would rather not.")
    assert (result.files, result.refused, names(tmp_path)) == ((), (), [])


async def test_a_workspace_that_is_a_file_is_told_before_a_model_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    model = ScriptedModel([fenced("a.py")])
    with pytest.raises(ConfigError, match=r'workspace ".*file" cannot be used'):
        await run_node(GenerateFiles(model=MODEL, workspace=str(tmp_path / "file")), {"brief": BRIEF}, model=model)
    assert model.requests == []
