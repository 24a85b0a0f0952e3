"""Tests of the tools for files."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from loom.errors import ConfigError, ToolError
from loom.tools.builtin import file_tools
from loom.tools.builtin.files import MAX_FILE_BYTES, MAX_PATHS, MAX_READ_CHARS
from loom.tools.workspace import alone_with

pytestmark = pytest.mark.anyio


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside.txt").write_text("outside")
    (tmp_path / "root" / "src").mkdir(parents=True)
    (tmp_path / "root" / "a.txt").write_text("one\ntwo\r\nthrée\u2028still three")
    (tmp_path / "root" / "src" / "b.py").write_text("import os\n")
    (tmp_path / "root" / "image.png").write_bytes(b"\x89PNG\0\1")
    (tmp_path / "root" / "latin.txt").write_bytes("é".encode("latin-1"))
    return tmp_path / "root"


async def use(root: Path, name: str, **arguments: object) -> str:
    (tool,) = [tool for tool in file_tools(root, write=True) if tool.name == name]
    result = await tool.call(arguments)
    assert isinstance(result, str)
    return result


async def test_a_file_is_read_whole_or_by_lines(root: Path) -> None:
    assert await use(root, "read", path="a.txt") == "one\ntwo\r\nthrée\u2028still three"
    assert await use(root, "read", path="./a.txt", first_line=2, last_line=2) == "two\r\n"
    assert await use(root, "read", path="a.txt", first_line=3) == "thrée\u2028still three"
    assert await use(root, "read", path="a.txt", last_line=99) == await use(root, "read", path="a.txt")


async def test_what_cannot_be_read_is_named(root: Path) -> None:
    (root / "huge").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (root / "long").write_bytes(b"x\n" * MAX_READ_CHARS)
    for path, told in {
        "image.png": 'file "image.png" is binary',
        "latin.txt": 'file "latin.txt" is binary: it is no text in UTF-8',
        "huge": f'file "huge" has more than {MAX_FILE_BYTES} bytes',
        "long": "too many at once; read fewer lines",
        "none": '"none" cannot be opened: No such file',
        "../outside.txt": "may lead out of the workspace",
    }.items():
        with pytest.raises(ToolError, match=told):
            await use(root, "read", path=path)
    assert await use(root, "read", path="long", first_line=5, last_line=6) == "x\nx\n"
    with pytest.raises(ToolError, match=r'file "a.txt" has 3 lines; there is no line 4'):
        await use(root, "read", path="a.txt", first_line=4)
    (root / "empty").touch()
    assert await use(root, "read", path="empty", first_line=1, last_line=1) == ""


async def test_of_a_line_that_is_too_long_the_beginning_is_read(root: Path) -> None:
    (root / "line").write_text("é" * (MAX_READ_CHARS + 5))
    (root / "lines").write_text("a\n" + "b" * (MAX_READ_CHARS + 1) + "\nc")
    cut = f"{'é' * MAX_READ_CHARS}\n(only the first 250000 of 250005 characters of the line)"
    assert await use(root, "read", path="line") == cut
    assert await use(root, "read", path="line", first_line=1, last_line=1) == cut
    second = await use(root, "read", path="lines", first_line=2, last_line=2)
    assert second.endswith("bb\n(only the first 250000 of 250002 characters of the line)")
    assert await use(root, "read", path="lines", first_line=3) == "c"
    with pytest.raises(ToolError, match='"lines": 250005 characters are too many at once; read fewer lines'):
        await use(root, "read", path="lines")


async def test_a_file_is_written_and_edited(root: Path) -> None:
    assert await use(root, "write", path="new/x.txt", content="a\nb\r\n") == 'wrote "new/x.txt": 5 characters'
    assert await use(root, "edit", path="./new/x.txt", old="b\r", new="c\r") == 'edited "./new/x.txt" at line 2'
    assert (root / "new/x.txt").read_bytes() == b"a\nc\r\n"


async def test_an_edit_needs_a_text_that_is_there_once(root: Path) -> None:
    (root / "x").write_text("a a")
    (root / "overlap").write_text("aaa")
    with pytest.raises(ToolError, match="has the old text 2 times; give more of it"):
        await use(root, "edit", path="overlap", old="aa", new="c")
    for old, told in {"b": "does not have the old text", "a": "has the old text 2 times; give more of it"}.items():
        with pytest.raises(ToolError, match=f'file "x" was not changed: it {told}'):
            await use(root, "edit", path="x", old=old, new="c")
    with pytest.raises(ToolError, match='"old"'):
        await use(root, "edit", path="x", old="", new="c")
    assert (root / "x").read_text() == "a a"


async def test_no_edit_is_lost_where_many_edit_one_file(root: Path) -> None:
    (root / "src" / "x").write_text("".join(f"<{letter}{number}>" for letter in "abc" for number in range(20)))

    async def change(folder: Path, path: str, letter: str) -> None:
        for number in range(20):
            await use(folder, "edit", path=path, old=f"<{letter}{number}>", new=f"[{letter}{number}]")

    async with anyio.create_task_group() as editors:
        editors.start_soon(change, root, "src/x", "a")
        editors.start_soon(change, root, "./src//x", "b")
        editors.start_soon(change, root / "src", "x", "c")
    assert len(re.findall(r"\[[abc]\d+\]", (root / "src" / "x").read_text())) == 60


@pytest.mark.parametrize(
    ("name", "arguments"), [("write", {"content": "new"}), ("edit", {"old": "import os\n", "new": "new"})]
)
async def test_a_file_that_is_being_edited_is_changed_by_nobody_else(
    name: str, arguments: dict[str, str], root: Path
) -> None:
    async with anyio.create_task_group() as group:
        with alone_with(root, "src/b.py"):
            group.start_soon(lambda: use(root, name, path="src/./b.py", **arguments))
            await use(root, "write", path="src/c.py", content="of another file")
            await anyio.sleep(0.2)
            assert (root / "src" / "b.py").read_text() == "import os\n"
    assert (root / "src" / "b.py").read_text() == "new"


KILLED = """
import resource, signal, sys
from loom.tools.workspace import write_file

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_file(sys.argv[1], "src/b.py", "import os\\n" * 100_000)
"""


def test_what_a_killed_write_leaves_is_no_file_of_the_user(root: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(root)], check=False)
    assert killed.returncode == -signal.SIGXFSZ
    assert len(list((root / "src").iterdir())) == 2
    assert anyio.run(lambda: use(root, "glob", pattern="**", folder="src")) == "src/b.py"
    assert anyio.run(lambda: use(root, "grep", pattern="import", folder="src")) == "src/b.py:1: import os"


@pytest.mark.parametrize("path", ["../outside.txt", "/tmp/x", "link", "folder/x", ".git/config", "", ".", "src", "a\0"])
async def test_nothing_is_written_outside(path: str, root: Path) -> None:
    (root / "link").symlink_to(root.parent / "outside.txt")
    (root / "folder").symlink_to(root.parent)
    before = sorted(root.parent.rglob("*"))
    for arguments in ({"content": "x"}, {"old": "outside", "new": "x"}):
        with pytest.raises(ToolError):
            await use(root, "write" if "content" in arguments else "edit", path=path, **arguments)
    assert sorted(root.parent.rglob("*")) == before
    assert (root.parent / "outside.txt").read_text() == "outside"


async def test_files_are_found_by_pattern(root: Path) -> None:
    assert await use(root, "glob", pattern="**/*.py") == "src/b.py"
    assert await use(root, "glob", pattern="*.py", folder="src") == "src/b.py"
    assert await use(root, "glob", pattern="*.rs") == "no file matches"
    for number in range(MAX_PATHS + 1):
        (root / "src" / f"{number:04}.c").touch()
    lines = (await use(root, "glob", pattern="**/*.c")).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (MAX_PATHS + 1, "src/0000.c", "(the first 1000 of 1001)")


@pytest.mark.parametrize("arguments", [{"pattern": "../*"}, {"pattern": "/etc/*"}, {"pattern": "*", "folder": ".."}])
async def test_no_pattern_leads_out(arguments: dict[str, str], root: Path) -> None:
    with pytest.raises(ToolError, match=r"may lead out|absolute path"):
        await use(root, "glob", **arguments)
    with pytest.raises(ToolError, match=r"may lead out|absolute path"):
        await use(root, "grep", **{**arguments, "files": arguments["pattern"]})


async def test_lines_are_found_by_regular_expression(root: Path) -> None:
    assert await use(root, "grep", pattern=r"^import \w+") == (
        "src/b.py:1: import os\n(2 files are binary or too large and were not searched)"
    )
    assert await use(root, "grep", pattern="IMPORT", folder="src", ignore_case=True) == "src/b.py:1: import os"
    assert await use(root, "grep", pattern="import", files="*.txt", folder="src") == "no line matches"
    with pytest.raises(ToolError, match="is no regular expression"):
        await use(root, "grep", pattern="(")


def test_writing_is_off_unless_wanted(root: Path) -> None:
    assert [tool.name for tool in file_tools(root)] == ["read", "glob", "grep"]
    assert all(tool.read_only and tool.idempotent and tool.concurrency_safe for tool in file_tools(root))
    writing = file_tools(root, write=True)[3:]
    assert [tool.name for tool in writing] == ["write", "edit"]
    assert not any(tool.read_only or tool.concurrency_safe for tool in writing)


def test_a_root_that_is_none_is_refused_when_tools_are_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a folder that exists"):
        file_tools(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="must be a folder; got int: 3"):
        file_tools(3)  # type: ignore[arg-type]


def test_writing_is_not_switched_on_by_a_text(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"file_tools\(write=…\) must be True or False; got str: 'no'"):
        file_tools(root, write="no")  # type: ignore[arg-type]
