"""Tests of a folder that is not left."""

import ctypes
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from loom.errors import ConfigError, ToolError, ToolExecutionError, ToolPermissionError
from loom.tools.builtin.confined import Confined, parts_of
from loom.tools.workspace import write_file

LATER = float("inf")


def text(inside: Confined, path: str) -> str:
    with inside.opened(path) as file:
        return file.read().decode()


def grown(root: Path, *paths: str) -> Confined:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return Confined(root)


@pytest.mark.parametrize("path", ["a.py", "./a.py", "src//b.py", "src/./b.py", "a b/ü…/c.py", "..a", "a..", "c:\\x"])
def test_a_path_inside_is_opened(path: str, tmp_path: Path) -> None:
    inside = grown(tmp_path, "a.py", "src/b.py", "a b/ü…/c.py", "..a", "a..", "c:\\x")
    assert text(inside, path) == "/".join(parts_of(path))


@pytest.mark.parametrize(
    "path",
    [
        "..", "../out.txt", "a/../../out.txt", "a/..", "./../out.txt", "/etc/passwd", "//etc/passwd", "/", "a\0b",
        "../\0", "\0", "a\nb", "\x7f", "\udcae\udcae/out.txt", "\ud800", "a/../a/../../out.txt",
    ],
)  # fmt: skip
def test_a_path_that_may_lead_out_is_refused(path: str, tmp_path: Path) -> None:
    inside = grown(tmp_path / "root", "a/b")
    (tmp_path / "out.txt").write_text("outside")
    with pytest.raises(ToolPermissionError):
        text(inside, path)
    with pytest.raises(ToolPermissionError):
        list(inside.files(path, until=LATER))


# Names that mean "up" or "root" somewhere else are plain names here, of files that are not there.
@pytest.mark.parametrize(
    "path",
    [
        "..%2fout.txt", "%2e%2e/out.txt", "\uff0e\uff0e/out.txt", "\u2025/out.txt", "..\\out.txt", "C:/out.txt",
        "\u2215etc\u2215passwd", "~/x", "~root/x", "$HOME", "...", "....//out.txt", "file:///etc/passwd", "A/B",
        "x" * 300, "a/" * 3000,
    ],
)  # fmt: skip
def test_a_path_is_taken_to_the_letter(path: str, tmp_path: Path) -> None:
    inside = grown(tmp_path / "root", "a/b")
    (tmp_path / "out.txt").write_text("outside")
    with pytest.raises(ToolError):
        text(inside, path)


def test_no_link_is_followed(tmp_path: Path) -> None:
    inside = grown(tmp_path / "root", "real/a.txt")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("outside")
    (tmp_path / "root" / "folder").symlink_to(tmp_path / "out")
    (tmp_path / "root" / "file").symlink_to(tmp_path / "out" / "a.txt")
    (tmp_path / "root" / "dangling").symlink_to("nowhere")
    (tmp_path / "root" / "inner").symlink_to("real")
    for path in ("folder/a.txt", "file", "dangling", "inner/a.txt", "real/../inner/a.txt"):
        with pytest.raises(ToolPermissionError):
            text(inside, path)
    with pytest.raises(ToolPermissionError, match="no link is followed"):
        list(inside.files("folder", until=LATER))
    assert list(inside.files("", until=LATER)) == ["real/a.txt"]


def test_the_root_itself_may_be_reached_over_a_link_but_not_become_one(tmp_path: Path) -> None:
    grown(tmp_path / "real", "a.txt")
    (tmp_path / "link").symlink_to("real")
    inside = Confined(tmp_path / "link")
    assert text(inside, "a.txt") == "a.txt"
    (tmp_path / "real").rename(tmp_path / "old")
    (tmp_path / "real").symlink_to("old")
    with pytest.raises(ToolPermissionError):
        text(inside, "a.txt")


def test_only_files_are_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    inside = grown(tmp_path, "folder/a")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "sock"))
        for path in ("folder", "pipe", "sock", "", "."):
            with pytest.raises(ToolError):
                text(inside, path)
    with pytest.raises(ToolExecutionError, match='"b" cannot be opened: No such file'):
        text(inside, "b")
    with pytest.raises(ToolPermissionError, match="each part but the last must be a folder"):
        text(inside, "folder/a/b")


def test_files_come_in_order_and_without_those_of_tools(tmp_path: Path) -> None:
    inside = grown(tmp_path, "b/2", "b/1", "a/c/1", "a.py", "z", ".git/x", "a/node_modules/x", "a/.hidden")
    assert list(inside.files("", until=LATER)) == ["a.py", "z", "a/.hidden", "a/c/1", "b/1", "b/2"]
    assert list(inside.files("./b/", until=LATER)) == ["b/1", "b/2"]
    assert list(inside.files(".git", until=LATER)) == [".git/x"]
    with pytest.raises(ToolExecutionError, match='"c" cannot be opened'):
        list(inside.files("c", until=LATER))


def test_going_through_files_has_an_end(tmp_path: Path) -> None:
    inside = grown(tmp_path, "a/1")
    with pytest.raises(ToolExecutionError, match="too many files to go through"):
        list(inside.files("", until=time.monotonic() - 1))


def test_a_root_is_a_folder_that_exists(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="must be a folder that exists"):
            Confined(path)


def test_no_file_stays_open(tmp_path: Path) -> None:
    inside = grown(tmp_path, "a/b/c", "x/y")
    before = len(list(Path("/dev/fd").iterdir()))
    for path in ("a/b/c", "a/b", "a/b/d", "a/b/c/d", "e/f"):
        with suppress(ToolError):
            text(inside, path)
    list(inside.files("", until=LATER))
    next(inside.files("", until=LATER))
    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.skipif(sys.platform != "linux", reason="two names are exchanged in one step by a call of Linux")
def test_who_swaps_a_folder_for_a_link_gains_nothing(tmp_path: Path) -> None:
    inside = grown(tmp_path / "root", "a/b/file.txt")
    (tmp_path / "out" / "b").mkdir(parents=True)
    (tmp_path / "out" / "b" / "file.txt").write_text("secret")
    folder, link = os.fsencode(tmp_path / "root" / "a"), os.fsencode(tmp_path / "root" / "link")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "out")
    exchange = ctypes.CDLL(None, use_errno=True).renameat2
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            assert exchange(-100, folder, -100, link, 2) == 0, os.strerror(ctypes.get_errno())

    swapper = threading.Thread(target=swap)
    swapper.start()
    read: set[str] = set()
    listed: set[str] = set()
    refused = 0
    until = time.monotonic() + 1.0
    try:
        while time.monotonic() < until or (swapper.is_alive() and not (read and refused)):
            try:
                read.add(text(inside, "a/b/file.txt"))
                listed.update(inside.files("a", until=LATER))
                write_file(inside.root, "a/b/new.txt", "written")
            except ToolError:
                refused += 1
    finally:
        done.set()
        swapper.join()
    assert refused
    assert read == {"a/b/file.txt"}
    assert listed <= {"a/b/file.txt", "a/b/new.txt"}
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["b", "file.txt"]
    assert (tmp_path / "out" / "b" / "file.txt").read_text() == "secret"
