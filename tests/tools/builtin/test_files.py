"""Tests of the tools for files."""

from pathlib import Path

import pytest

from loom.errors import ConfigError, ToolError
from loom.tools.builtin import file_tools
from loom.tools.builtin.files import MAX_FILE_BYTES, MAX_PATHS, MAX_READ_CHARS

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
