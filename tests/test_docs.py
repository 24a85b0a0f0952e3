"""Runs every Python block of the README and the docs: a page is one program, read top to bottom."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

import loom

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python(?P<mark>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^```text\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)(?P<target>[^)\s#]+)")
NO_RUN = "no-run: "


def program(page: str) -> str:
    """Return a page's blocks as one file, each line where it stands on the page."""
    lines = [""] * (page.count("\n") + 1)
    for block in BLOCK.finditer(page):
        mark = block["mark"].strip()
        assert not mark or (mark.startswith(NO_RUN) and len(mark) > len(NO_RUN)), f'"{mark}" says not why it is not run'
        first = page.count("\n", 0, block.start("code"))
        code = block["code"].splitlines()
        if mark:
            compile(block["code"], "block", "exec", dont_inherit=True)
        else:
            lines[first : first + len(code)] = code
    return "\n".join(lines)


def run(page: Path, folder: Path) -> None:
    done = subprocess.run([sys.executable, "page.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{page.relative_to(ROOT)}:\n{done.stderr}"
    for block in PRINTED.finditer(page.read_text()):
        assert block["text"] in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_runs_also_twice_and_prints_what_the_page_says(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    code = program(page.read_text())
    if code.strip():
        (tmp_path / "page.py").write_text(code)
        run(page, tmp_path)
        if {path.name for path in tmp_path.iterdir()} - {"page.py", "__pycache__"}:
            run(page, tmp_path)  # again, as a reader does, among the files that it left
    for drawn in sorted(tmp_path.glob("*.svg")):
        shown = PICTURES / drawn.name
        if request.config.getoption("update_snapshots"):
            shown.write_text(drawn.read_text())
        assert shown.read_text() == drawn.read_text(), f"{shown.name} is not what {page.name} draws"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_house_leads_somewhere(page: Path) -> None:
    targets = {unquote(link["target"]) for link in LINK.finditer(page.read_text())}
    assert {target for target in targets if not (page.parent / target).exists()} == set()


def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    first = BLOCK.search(readme)
    assert first
    (tmp_path / "review.py").write_text(first["code"])
    commands = [shlex.split(line.removesuffix("\\"))[1:] for line in readme.splitlines() if line.startswith("loom ")]
    offline = [command for command in commands if "-m" not in command]
    assert [command[0] for command in offline] == ["check", "render", "run", "runs", "show", "resume"]
    for command in offline:
        line = [sys.executable, "-m", "loom", *command]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}:\n{done.stderr}"


def test_a_block_keeps_its_line_numbers() -> None:
    assert program("one\n```python\nx = 1\n```\ntwo\n```python\ny = 2\n```\n").splitlines()[2:7:4] == ["x = 1", "y = 2"]


def test_a_block_that_is_not_run_says_why() -> None:
    with pytest.raises(AssertionError, match="says not why"):
        program("```python no-run\nx = 1\n```\n")
    assert program("```python no-run: calls a live model\nx = 1\n```\n").strip() == ""


@pytest.mark.parametrize("record", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_record_is_short_and_complete(record: Path) -> None:
    text = record.read_text()
    assert len(text.splitlines()) <= 60
    for part in ("## Context", "## Decision", "## Refused", "## Consequences"):
        assert part in text, f"{record.name} has no part {part}"


def test_the_reference_has_every_name_of_the_door() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs" / "reference.md").read_text()))
    assert set(loom.__all__) - words == set()


def test_the_reference_has_every_problem_code() -> None:
    code = re.compile(r"LOOM\d{3}")
    found = {match for path in (ROOT / "loom" / "core").glob("*.py") for match in code.findall(path.read_text())}
    listed = code.findall((ROOT / "docs" / "reference.md").read_text())
    assert listed == sorted(found)


def test_the_start_page_leads_to_every_page() -> None:
    linked = {link["target"] for link in LINK.finditer((ROOT / "docs" / "index.md").read_text())}
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]}
    assert pages - linked == {"index.md"}


def test_the_floors_of_contributing_are_those_that_are_held() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    held = [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    rows = re.findall(r"^\| \d \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert [set(re.findall(r"`(?:loom/)?(\w+)(?:/|\.py)`", row.split(":")[0])) for row in rows] == held[1:]
