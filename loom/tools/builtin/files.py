"""Tools for the files in one folder: read, write, edit, glob, grep. None of them leaves the folder."""

import os
import time
from io import StringIO
from typing import Annotated, Any, Final

from pydantic import Field

from loom.errors import ToolExecutionError
from loom.tools.builtin.confined import Confined, parts_of
from loom.tools.builtin.patterns import PathPattern
from loom.tools.builtin.search import MAX_MATCHES, search
from loom.tools.tool import ToolSpec, tool
from loom.tools.workspace import alone_with, write_file
from loom.types.given import check_flag

MAX_FILE_BYTES: Final = 10_000_000  # of a file that is read or edited
MAX_READ_CHARS: Final = 250_000  # that one call returns
MAX_PATHS: Final = 1000
MAX_SEARCHED_BYTES: Final = 30_000_000  # in one search
SEARCH_S: Final = 10.0  # for going through files, and as much for matching
_MAX_SEARCHED_FILE_BYTES: Final = 2_000_000

FilePath = Annotated[str, Field(description='relative to the workspace, as in "src/a.py"')]
Folder = Annotated[str, Field(description="a folder in the workspace; empty for all of it")]
GlobPattern = Annotated[str, Field(description='"*" inside a name, "**" for any folders, as in "src/**/*.py"')]
Line = Annotated[int, Field(ge=1)]


# Any: the tools take different arguments.
def file_tools(root: str | os.PathLike[str], *, write: bool = False) -> list[ToolSpec[..., Any]]:
    """Return tools for the files in the folder `root`: read, glob and grep, with `write` also write and edit.

    Paths are relative to `root`. No link is followed, not even one that stays inside; what is in `.git` is not written.
    Text is UTF-8; other files are refused.

    Raises:
        ConfigError: `root` is no folder, or `write` neither True nor False.
    """
    check_flag("file_tools(write=…)", write)
    inside = Confined(root)
    tools = _reading(inside)
    return [*tools, *_writing(inside)] if write else tools


def _reading(inside: Confined) -> list[ToolSpec[..., Any]]:
    @tool(read_only=True, idempotent=True, concurrency_safe=True)
    def read(path: FilePath, first_line: Line = 1, last_line: Line | None = None) -> str:
        """Read a text file, whole or from one line to another; lines count from 1.

        Of a single line that is too long the beginning is returned, with a note.
        """
        text = _text(inside, path)
        lines = list(StringIO(text, newline="\n"))
        if first_line > max(1, len(lines)):
            raise ToolExecutionError(f'file "{path}" has {len(lines)} lines; there is no line {first_line}')
        wanted = lines[first_line - 1 : last_line]
        text = "".join(wanted)
        if len(text) <= MAX_READ_CHARS:
            return text
        if len(wanted) > 1:
            raise ToolExecutionError(f'"{path}": {len(text)} characters are too many at once; read fewer lines')
        return f"{text[:MAX_READ_CHARS]}\n(only the first {MAX_READ_CHARS} of {len(text)} characters of the line)"

    @tool(read_only=True, idempotent=True, concurrency_safe=True)
    def glob(pattern: GlobPattern, folder: Folder = "") -> str:
        """List the files whose path below the folder matches a pattern, one a line."""
        found = _matching(inside, pattern, folder)
        shown = found[:MAX_PATHS]
        more = [f"(the first {MAX_PATHS} of {len(found)})"] if len(found) > len(shown) else []
        return "\n".join([*shown, *more]) or "no file matches"

    @tool(read_only=True, idempotent=True, concurrency_safe=True)
    def grep(pattern: str, files: GlobPattern = "**", folder: Folder = "", ignore_case: bool = False) -> str:
        """Find the lines of text files that match a regular expression (Python's), as path:line: text."""
        texts, left_out = _texts(inside, _matching(inside, files, folder))
        found, has_more = search(texts, pattern, ignore_case=ignore_case, timeout_s=SEARCH_S)
        lines = [f"{match.path}:{match.line}: {match.text}" for match in found] or ["no line matches"]
        if has_more:
            lines.append(f"(only the first {MAX_MATCHES} lines)")
        if left_out:
            lines.append(f"({left_out} files are binary or too large and were not searched)")
        return "\n".join(lines)

    return [read, glob, grep]


def _writing(inside: Confined) -> list[ToolSpec[..., Any]]:
    @tool(idempotent=True)
    def write(path: FilePath, content: str) -> str:
        """Write a file, in place of the one of that name if there is one; folders are made as needed."""
        write_file(inside.root, _plain(path), content)
        return f'wrote "{path}": {len(content)} characters'

    @tool
    def edit(path: FilePath, old: Annotated[str, Field(min_length=1)], new: str) -> str:
        """Replace a text in a file by another. The old text must be in it once, to the letter."""
        with alone_with(inside.root, _plain(path)):
            text = _text(inside, path)
            at = text.find(old)
            # Two places may overlap, as of "aa" in "aaa".
            count = max(text.count(old), 2 if text.find(old, at + 1) >= 0 else 0)
            if count != 1:
                where = f"has the old text {count} times; give more of it" if count else "does not have the old text"
                raise ToolExecutionError(f'file "{path}" was not changed: it {where}')
            write_file(inside.root, _plain(path), text.replace(old, new))
        line = text[:at].count("\n") + 1
        return f'edited "{path}" at line {line}'

    return [write, edit]


def _plain(path: str) -> str:
    return "/".join(parts_of(path))


def _text(inside: Confined, path: str, limit: int = MAX_FILE_BYTES) -> str:
    with inside.opened(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ToolExecutionError(f'file "{path}" has more than {limit} bytes')
    try:
        if b"\0" not in content:
            return content.decode()
    except UnicodeDecodeError:
        pass
    raise ToolExecutionError(f'file "{path}" is binary: it is no text in UTF-8')


def _matching(inside: Confined, pattern: str, folder: str) -> list[str]:
    parts_of(pattern)  # one that goes up is refused, not told to match nothing
    wanted, above = PathPattern(pattern), len(parts_of(folder))
    paths = inside.files(folder, until=time.monotonic() + SEARCH_S)
    return [path for path in paths if wanted.matches("/".join(path.split("/")[above:]))]


def _texts(inside: Confined, paths: list[str]) -> tuple[dict[str, str], int]:
    """Return what is in the files that are text, and how many are not."""
    texts: dict[str, str] = {}
    left = MAX_SEARCHED_BYTES
    for path in paths:
        try:
            texts[path] = _text(inside, path, _MAX_SEARCHED_FILE_BYTES)
        except ToolExecutionError:
            continue
        left -= len(texts[path])
        if left < 0:
            raise ToolExecutionError("the files are too many to be searched at once; name a folder, or fewer files")
    return texts, len(paths) - len(texts)
