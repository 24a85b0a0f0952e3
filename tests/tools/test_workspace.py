"""Tests of files that a model writes."""

import hashlib
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loom.errors import ToolPermissionError
from loom.tools.workspace import STEERING, Reply, changed_files, digest, files_in, guarded_files, write_file


@pytest.mark.parametrize(
    ("reply", "files"),
    [
        ("```python src/add.py\nx = 1\n```", {"src/add.py": "x = 1\n"}),
        ("```add.py\nx\n```", {"add.py": "x\n"}),
        ("Run it:\n```python\nx\n```\nor\n```\ny\n```", {}),
        ("```sh Makefile\nall:\n\ttrue\n```", {"Makefile": "all:\n\ttrue\n"}),
        ("````md README.md\n```python a.py\nx\n```\n````", {"README.md": "```python a.py\nx\n```\n"}),
        ("```a.py\nold\n```\n```a.py\nnew\n```", {"a.py": "new\n"}),
        ("  ```python a.py\r\nx\r\n  ```", {"a.py": "x\n"}),
        ("```a.py\n```", {"a.py": ""}),
        ("", {}),
    ],
)
def test_files_are_fenced_blocks_with_a_path(reply: str, files: dict[str, str]) -> None:
    assert files_in(reply) == Reply(files)


def test_a_file_that_was_cut_off_is_no_file() -> None:
    reply = files_in("```a.py\nwhole\n```\n```b.py\nx\n```\n```a.py\nhal")
    assert reply.files == {"b.py": "x\n"}
    assert reply.broken == ('file "a.py" was not written: the reply ends before the file does',)


def test_a_file_is_written_into_folders_that_are_made(tmp_path: Path) -> None:
    root = tmp_path / "new"
    write_file(root, "a/b/c.py", "é\n")
    assert (root / "a/b/c.py").read_bytes() == "é\n".encode()
    write_file(root, "a/b/c.py", "y")
    assert [path.name for path in (root / "a/b").iterdir()] == ["c.py"]
    assert (root / "a/b/c.py").read_text() == "y"


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "run").touch(mode=0o755)
    mode = (tmp_path / "run").stat().st_mode
    write_file(tmp_path, "run", "x")
    assert (tmp_path / "run").stat().st_mode == mode


def test_a_file_that_many_write_at_once_is_whole_at_every_moment(tmp_path: Path) -> None:
    write_file(tmp_path, "a.txt", "a" * 200_000)
    done = threading.Event()
    torn: list[int] = []

    def read() -> None:
        while not done.is_set():
            text = (tmp_path / "a.txt").read_text()
            if len(text) != 200_000 or len(set(text)) != 1:
                torn.append(len(text))

    def write(letter: str) -> None:
        write_file(tmp_path, "a.txt", letter * 200_000)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, "abcd" * 50))
    finally:
        done.set()
        reader.join()
    assert torn == []
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_another_program_put_beside_a_file_is_not_written_through(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside.txt"
    root.mkdir()
    outside.write_text("kept")
    os.link(outside, root / ".link.txt.loom")
    os.mkfifo(root / ".pipe.txt.loom")
    for name in ("link.txt", "pipe.txt"):
        writing = threading.Thread(target=write_file, args=(root, name, "x"), daemon=True)
        writing.start()
        writing.join(10)
        assert not writing.is_alive(), "it waits for the other end of the pipe"
        assert (root / name).read_text() == "x"
    assert outside.read_text() == "kept"
    left = sorted(path.name for path in root.iterdir())
    assert left == [".link.txt.loom", ".pipe.txt.loom", "link.txt", "pipe.txt"]


def test_a_write_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    write_file(tmp_path, "a.txt", "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_file(tmp_path, "a.txt", "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "/etc/passwd", "../out.py", "a/../../out.py", "a//b.py", "./a.py", "a/", "a\\b.py", "C:x",
        "a\0b", "a\nb", ".git/hooks/pre-commit", "a/.GIT/config", "x" * 300,
    ],
)  # fmt: skip
def test_a_path_that_may_lead_out_is_refused(path: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(ToolPermissionError, match="was not written: "):
        write_file(root, path, "x")
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []


def test_no_link_is_followed(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    (out / "kept.py").write_text("kept")
    (root / "folder").symlink_to(out)
    (root / "file.py").symlink_to(out / "kept.py")
    (root / "dangling.py").symlink_to(out / "new.py")
    for path in ("folder/kept.py", "folder/new.py", "file.py", "dangling.py"):
        with pytest.raises(ToolPermissionError, match="link"):
            write_file(root, path, "x")
    assert {path.name: path.read_text() for path in out.iterdir()} == {"kept.py": "kept"}


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    write_file(tmp_path, "a", "x")
    (tmp_path / "b").mkdir()
    for path in ("a/c.py", "b"):
        with pytest.raises(ToolPermissionError, match="folder"):
            write_file(tmp_path, path, "x")
    assert (tmp_path / "a").read_text() == "x"


@pytest.mark.parametrize("path", ["tests/test_a.py", "Tests/Test_A.py", "conftest.py", "src/conftest.py"])
def test_what_checks_rely_on_is_not_written(path: str, tmp_path: Path) -> None:
    with pytest.raises(ToolPermissionError, match="the checks rely on it, so it is not yours to change"):
        write_file(tmp_path, path, "x", guarded={"tests/test_a.py": ""}, forbidden_names=STEERING)
    assert list(tmp_path.rglob("*.py")) == []


def test_tests_and_what_steers_them_are_guarded(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    guarded = ["test_a.py", "a.spec.ts", "pkg/tests/data.json", "conftest.py", "pyproject.toml", "run.sh"]
    others = ["a.py", "pkg/b.py", ".git/test_x.py", "node_modules/test_x.js"]
    for name in [*guarded, *others]:
        write_file_in(root, name)
    write_file_in(outside, "test_b.py")
    write_file_in(outside, "b.py")
    found = guarded_files(root, [["sh", "run.sh"], ["pytest", "test_a.py::test_x", str(outside), "missing"]])
    assert set(found) == {*guarded, str(outside / "test_b.py")}
    assert found["test_a.py"] == hashlib.sha256(b"x").hexdigest()


def write_file_in(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("x")


def test_a_guarded_file_that_is_changed_or_gone_is_seen(tmp_path: Path) -> None:
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        write_file_in(tmp_path, name)
    guarded = guarded_files(tmp_path, [])
    assert changed_files(tmp_path, guarded) == ()
    (tmp_path / "test_c.py").write_text("y")
    (tmp_path / "test_b.py").unlink()
    assert changed_files(tmp_path, guarded) == ("test_b.py", "test_c.py")
    assert digest(tmp_path / "nothing") == ""
