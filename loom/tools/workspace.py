"""Files that a model writes: found in its reply, and kept inside one folder."""

import errno
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from threading import Lock, RLock
from typing import Final
from weakref import WeakValueDictionary

from loom.errors import ToolPermissionError

# What decides how the tests are run. Who writes these files can let any test pass. pyproject.toml is not among them,
# for it is part of many tasks; one that is there from the beginning is guarded.
STEERING: Final = frozenset(
    {"conftest.py", "pytest.ini", ".pytest.ini", "setup.cfg", "sitecustomize.py", "tox.ini", "usercustomize.py"}
)
_TEST_FILE: Final = re.compile(r"^(?:test[_.-].*|tests?\.\w+|.*[_.-](?:test|spec)\.\w+)$", re.IGNORECASE)
_TEST_FOLDERS: Final = frozenset({"__tests__", "spec", "test", "tests"})
_NOT_OURS: Final = frozenset({".git", ".hg", ".tox", ".venv", "__pycache__", "node_modules", "venv"})
# What the author of a path can be at fault for; a full disk is not among them.
_FAULTS_OF_A_PATH: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ})

# A file that is being written; a crash leaves it behind.
DRAFT: Final = re.compile(r"\.[0-9a-f]{16}\.loom-draft")
_LOCKS: Final = WeakValueDictionary[str, RLock]()
_GUARD: Final = Lock()

_FENCE: Final = re.compile(r"^(`{3,})([^`]*)$")


@dataclass(frozen=True, slots=True)
class Reply:
    """The files in a model's reply: content by path. `broken` says what looked like a file and is none."""

    files: Mapping[str, str]
    broken: tuple[str, ...] = ()


def files_in(reply: str) -> Reply:
    """Find the files in a reply: fenced blocks whose first line ends with a path.

    The line is the fence, a language and the path, as in "```python src/add.py"; the language may be missing where
    the path has a dot or a slash. A block ends at a fence of at least as many backticks. Of two blocks with one path
    the last stands. Blocks without a path are talk.
    """
    files: dict[str, str] = {}
    fence, path = "", ""
    content: list[str] = []
    for line in reply.splitlines():
        mark = _FENCE.match(line.strip())
        if not fence and mark:
            fence, path, content = mark[1], _path_of(mark[2]), []
        elif fence and mark and len(mark[1]) >= len(fence) and not mark[2].strip():
            if path:
                files[path] = "".join(f"{line}\n" for line in content)
            fence = ""
        elif fence:
            content.append(line)
    if fence and path:
        files.pop(path, None)
        return Reply(files, (f'file "{path}" was not written: the reply ends before the file does',))
    return Reply(files)


def _path_of(info: str) -> str:
    words = info.split()
    is_path = len(words) > 1 or (len(words) == 1 and ("." in words[0] or "/" in words[0]))
    return words[-1] if is_path else ""


def write_file(
    root: str | os.PathLike[str],
    path: str,
    content: str,
    *,
    guarded: Collection[str] = (),
    forbidden_names: Collection[str] = (),
) -> None:
    """Write a file inside the folder `root`, making folders as needed; no symbolic link is followed on the way.

    It is written all or nothing, also where others write it at the same time or the power fails. Neither the files at
    the paths `guarded` (relative to `root`) nor any of the `forbidden_names` is written.

    Raises:
        ToolPermissionError: the path leads out of the folder, is no file's, or must not be written.
        OSError: the disk is full, or the folder is not this user's to write to.
    """
    parts = path.split("/")
    if not path or path.startswith("/") or re.search(r"[\x00-\x1f\\:]", path):
        raise _refused(path, "a path is relative, with / between its parts")
    if {"", ".", ".."} & set(parts):
        raise _refused(path, "it may lead out of the workspace")
    if ".git" in map(_folded, parts):
        raise _refused(path, "what is in .git runs programs")
    if _folded(path) in map(_folded, guarded) or _folded(parts[-1]) in map(_folded, forbidden_names):
        raise _refused(path, "the checks rely on it, so it is not yours to change")
    Path(root).mkdir(parents=True, exist_ok=True)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            folder = _inner_folder(folder, part)
        with alone_with(root, path):
            _replace(folder, path, content.encode("utf-8", errors="replace"))
    except OSError as error:
        if error.errno not in _FAULTS_OF_A_PATH:
            raise
        why = f"{error.strerror}; each part but the last is a folder, and no link is followed"
        raise _refused(path, why) from error
    finally:
        os.close(folder)


def alone_with(root: str | os.PathLike[str], path: str) -> RLock:
    """Return the lock of a file inside the folder `root`; who reads the file to change it holds it around both.

    It is one for the whole process, by where the file is. `write_file` takes it.
    """
    place = _folded(str(Path(root).resolve() / path))
    with _GUARD:
        return _LOCKS.setdefault(place, RLock())


def _inner_folder(folder: int, name: str) -> int:
    """Open the folder `name` of an open folder, made if it is not there, in exchange for the outer one."""
    with suppress(FileExistsError):  # whether it is a folder is seen on opening it
        os.mkdir(name, dir_fd=folder)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    os.close(folder)
    return inner


def _replace(folder: int, path: str, content: bytes) -> None:
    """Write the last part of `path` in an open folder, all or nothing, in place of the file of that name."""
    name = path.rpartition("/")[2]
    mode = 0o644
    with suppress(FileNotFoundError):
        there = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(there):
            raise _refused(path, "a link, a folder or a device has that name")
        mode = stat.S_IMODE(there)
    # A name that nobody knows before, and a file that was not there: none is written but our own.
    draft = f".{token_hex(8)}.loom-draft"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())  # else the new name may be on disk before what it names
        os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        raise


def _refused(path: str, why: str) -> ToolPermissionError:
    return ToolPermissionError(f'file "{path}" was not written: {why}')


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def guarded_files(root: str | os.PathLike[str], commands: Collection[Sequence[str]]) -> dict[str, str]:
    """Return the files that checks rely on, each with the SHA-256 of its content in hex.

    These are, as far as they exist: files that a command names, and everything that looks like a test or decides how
    tests are run, in the folder `root` and in folders that a command names. Paths inside `root` are relative to it,
    others absolute.
    """
    base = Path(root).absolute()
    found = set(_tests(base, base))
    for path in (base / argument.split("::")[0] for command in commands for argument in command[1:]):
        if path.is_file():
            found.add(path)
        elif path.is_dir() and not (path.is_relative_to(base) or base.is_relative_to(path)):
            found.update(_tests(path, path.parent))
    names = {path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path): path for path in found}
    return {name: digest(names[name]) for name in sorted(names)}


def changed_files(root: str | os.PathLike[str], guarded: Mapping[str, str]) -> tuple[str, ...]:
    """Return the guarded files that are gone or not as they were, sorted."""
    return tuple(sorted(name for name, sha256 in guarded.items() if digest(Path(root, name)) != sha256))


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content in hex; empty if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _tests(folder: Path, base: Path) -> Iterator[Path]:
    """Find what looks like a test or steers tests; folders count by their names below `base`."""
    for at, inner, names in os.walk(folder):
        inner[:] = set(inner) - _NOT_OURS
        is_of_tests = not _TEST_FOLDERS.isdisjoint(Path(at).relative_to(base).parts)
        for name in names:
            if is_of_tests or _TEST_FILE.match(name) or name in STEERING or name == "pyproject.toml":
                yield Path(at, name)
