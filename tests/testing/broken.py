"""Runs the stores' suite on stores that are broken in one way each."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from textwrap import dedent

HEAD = """
import asyncio
from dataclasses import replace
from functools import partial
import pytest
from loom import MemoryCheckpointer, RunConflictError, SqliteCheckpointer
from loom.core.journal import Claim
from loom.testing import CheckpointerSuite

class InMemory(CheckpointerSuite):
    lives_in_one_process = True

    @pytest.fixture
    def store(self):
        return self.Store()

class OnDisk(CheckpointerSuite):
    takeover_s = 1.0

    @pytest.fixture
    def opener(self, tmp_path):
        return partial(STORES[type(self).__name__], tmp_path / "loom.db")

STORES = {}
"""


def output(folder: Path, code: str, *options: str) -> str:
    """Run the suite in a process of its own; return what it says."""
    (folder / "test_broken.py").write_text(HEAD + dedent(code))
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *options, "test_broken.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def reported(folder: Path, code: str, *options: str) -> dict[str, set[str]]:
    """Return the cases that did not pass, by the class of the store's tests."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    said = output(folder, code, *options)
    for store, case in re.findall(r"^(?:FAILED|ERROR) test_broken.py::(\w+)::(\w+)", said, re.MULTILINE):
        found[store].add(case)
    return found
