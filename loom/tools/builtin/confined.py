"""A folder that is not left: every part of a path is opened in the folder before it, and no link is followed.

A path that is checked and then opened can change in between. Here nothing is checked by name: each part is opened with
the open outer folder as its place and with O_NOFOLLOW, so that whoever swaps a folder for a link meanwhile gains
nothing. The systems that have such calls are those of the POSIX family.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from loom.errors import ConfigError, ToolExecutionError, ToolPermissionError, short
from loom.tools.workspace import DRAFT

# What tools and version control keep for themselves: not looked into unless it is named.
KEPT_BY_TOOLS: Final = frozenset(
    {
        ".git",
        ".hg",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
        "venv",
    }
)
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: opening a pipe waits for its other end.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Confined:
    """A folder, and reading inside it by paths relative to it, with / between their parts.

    Raises:
        ConfigError: it is no folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        if not isinstance(root, str | os.PathLike):
            raise ConfigError(f"the root of tools must be a folder; got {type(root).__name__}: {short(root)}")
        self.root = Path(root).resolve()  # where a link leads at this moment is what the caller means
        if not self.root.is_dir():
            raise ConfigError(f'"{os.fspath(root)}" must be a folder that exists')

    @contextmanager
    def opened(self, path: str) -> Generator[BinaryIO]:
        """Open a file for reading.

        Raises:
            ToolPermissionError: the path leads out of the folder or over a link, or is no file's.
            ToolExecutionError: the file is not there or cannot be read.
        """
        *folders, name = parts_of(path) or ["."]
        with self._told(path), self._folder(folders) as folder:
            file = os.open(name, _FILE, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                raise ToolPermissionError(f'"{path}" is a folder, a pipe or a device; only files are read')
        with os.fdopen(file, "rb") as opened:
            yield opened

    def files(self, folder: str, *, until: float) -> Iterator[str]:
        """Yield the paths of all files in a folder inside, in order, until a time (`time.monotonic`).

        Links are not among them, nor what version control and tools keep for themselves, nor drafts of `write_file`.

        Raises:
            ToolPermissionError: the path leads out of the folder or over a link.
            ToolExecutionError: the folder is not there, or the time is up.
        """
        first = parts_of(folder)
        waiting = [first]
        while waiting:
            if time.monotonic() > until:
                raise ToolExecutionError(f'"{folder or "."}" has too many files to go through; name a folder inside it')
            parts = waiting.pop()
            try:
                inner, names = self._listed(parts)
            except (ToolPermissionError, ToolExecutionError):
                if parts == first:
                    raise
                continue  # another program took it away, or it is not ours to read
            yield from ("/".join((*parts, name)) for name in names)
            waiting.extend([*parts, name] for name in reversed(inner))

    def _listed(self, parts: list[str]) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the files in a folder, sorted."""
        folders: list[str] = []
        files: list[str] = []
        with self._told("/".join(parts) or "."), self._folder(parts) as opened, os.scandir(opened) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and entry.name not in KEPT_BY_TOOLS:
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False) and not DRAFT.fullmatch(entry.name):
                    files.append(entry.name)
        return sorted(folders), sorted(files)

    @contextmanager
    def _folder(self, parts: list[str]) -> Generator[int]:
        """Open a folder inside, from the root down."""
        folder = os.open(self.root, _FOLDER)
        try:
            for part in parts:
                inner = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    @staticmethod
    @contextmanager
    def _told(path: str) -> Generator[None]:
        """Tell what the system refuses, by the path as it was given."""
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                why = "each part but the last must be a folder, and no link is followed"
                raise ToolPermissionError(f'"{path}" cannot be opened: {why}') from error
            raise ToolExecutionError(f'"{path}" cannot be opened: {error.strerror}') from error


def parts_of(path: str) -> list[str]:
    """Return the parts of a relative path; none for the folder itself.

    Raises:
        ToolPermissionError: it is absolute, goes up, or has characters that no path should have.
    """
    if path.startswith("/"):
        raise ToolPermissionError(
            f'"{path}" is an absolute path; paths are relative to the workspace, as in "src/a.py"'
        )
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", path):
        raise ToolPermissionError(f"{path!r} has characters that no path should have")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ToolPermissionError(f'"{path}" may lead out of the workspace')
    return parts
