"""Tests of checks that are run."""

import os
import sys
from pathlib import Path

import pytest

from loom.errors import ConfigError, ToolExecutionError
from loom.tools.checks import (
    SHOWN,
    CheckResult,
    checked,
    make_workspace,
    refuse_missing,
    refuse_no_folder,
    run_check,
    shown,
)
from loom.tools.checks import tests_passed as count_of_passed

pytestmark = pytest.mark.anyio
GOOD = "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertTrue({})\n"


async def unittest(tmp_path: Path, source: str) -> CheckResult:
    (tmp_path / "test_it.py").write_text(source)
    return await run_check("tests", ["python", "-m", "unittest"], cwd=tmp_path, timeout_s=20)


async def test_a_check_holds_when_a_test_has_passed(tmp_path: Path) -> None:
    result = await unittest(tmp_path, GOOD.format("True"))
    assert (result.passed, result.reason) == (True, "exit status 0, 1 test passed")


async def test_a_check_fails_with_its_tests(tmp_path: Path) -> None:
    result = await unittest(tmp_path, GOOD.format("False"))
    assert (result.passed, result.reason) == (False, "exit status 1, 0 tests passed")
    assert "False is not true" in result.output


async def test_pytest_is_understood(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # a folder above may have settings
    command = ["pytest", "-q", "-p", "no:cacheprovider"]
    result = await run_check("tests", command, cwd=tmp_path, timeout_s=20)
    assert (result.passed, result.reason) == (True, "exit status 0, 2 tests passed")


async def test_no_test_is_no_pass(tmp_path: Path) -> None:
    result = await run_check("tests", ["true"], cwd=tmp_path, timeout_s=20)
    assert (result.passed, result.reason) == (False, "exit status 0, but no test was run")


@pytest.mark.parametrize("leave", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
async def test_leaving_at_import_is_no_pass(leave: str, tmp_path: Path) -> None:
    result = await unittest(tmp_path, f"{leave}\n{GOOD.format('True')}")
    assert not result.passed


async def test_a_check_that_takes_too_long_fails(tmp_path: Path) -> None:
    result = await run_check("tests", ["sleep", "60"], cwd=tmp_path, timeout_s=0.2)
    assert (result.passed, result.reason) == (False, "it was stopped after 0.2 s")


async def test_a_program_that_is_not_installed_is_an_error_and_one_to_be_written_is_not(tmp_path: Path) -> None:
    with pytest.raises(ToolExecutionError, match="no-such-program"):
        await run_check("tests", ["no-such-program"], cwd=tmp_path, timeout_s=1)
    result = await run_check("tests", ["./run_tests"], cwd=tmp_path, timeout_s=1)
    assert (result.passed, result.reason) == (False, "it could not be started")


async def test_no_bytecode_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text("x = 1\n")
    await run_check("tests", [sys.executable, "-c", "import it"], cwd=tmp_path, timeout_s=20)
    assert os.listdir(tmp_path) == ["it.py"]  # noqa: PTH208 - iterdir would be said to block


@pytest.mark.parametrize(
    ("output", "count"),
    [
        ("3 passed in 0.01s", 3),
        ("=== 1 failed, 2 passed, 1 skipped in 3.20s ===", 2),
        ("no tests ran in 0.00s", 0),
        ("1 passed", 0),
        ("Ran 4 tests in 0.001s\n\nOK (skipped=1)", 3),
        ("Ran 4 tests in 0.001s\n\nFAILED (failures=1)", 0),
        ("Ran 0 tests in 0.000s\n\nNO TESTS RAN", 0),
        ("test result: ok. 5 passed; 0 failed; 0 ignored", 5),
        ("Tests:       1 skipped, 6 passed, 7 total", 6),
        ("  7 passing (8ms)", 7),
        ("# pass 8\n# fail 0", 8),
        ("ok  \texample.com/a\t0.01s", 1),
        ("ok  \texample.com/a\t0.01s [no tests to run]", 0),
        ("", 0),
    ],
)
def test_what_test_runners_print_is_counted(output: str, count: int) -> None:
    assert count_of_passed(output) == count


def test_equal_results_read_equal(tmp_path: Path) -> None:
    text = f"{tmp_path}/a.py:1 in 0.01s, 3.5 seconds, <X object at 0x7f00aa11bb>"
    assert shown(text, tmp_path) == "a.py:1 in …s, … seconds, <X object at …>"
    assert shown("x" * (SHOWN + 1) + "y", tmp_path) == "x" * (SHOWN - 1) + "y"


async def test_a_traceback_does_not_say_where_python_is(tmp_path: Path) -> None:
    (tmp_path / "test_lacking.py").write_text("import lacking\n")
    result = await run_check("t", ["python", "-m", "unittest", "-q"], cwd=tmp_path, timeout_s=60)
    assert [line for line in result.output.splitlines() if line.startswith("  File ")] == [
        '  File "test_lacking.py", line 1, in <module>'
    ]
    assert "ModuleNotFoundError: No module named 'lacking'" in result.output


def test_checks_are_commands_by_name() -> None:
    assert checked({"tests pass": ["pytest", "-q"]}) == {"tests pass": ("pytest", "-q")}
    for name in (" ", 1):
        with pytest.raises(ConfigError, match="a check needs a name"):
            checked({name: ["pytest"]})  # type: ignore[dict-item]
    for wrong in ("pytest -q", [], ["pytest", 1], 3):
        with pytest.raises(ConfigError, match='check "t" must be a command as a list of texts'):
            checked({"t": wrong})  # type: ignore[dict-item]


@pytest.mark.parametrize("wrong", ["pytest", ["pytest"], 3])
def test_checks_that_have_no_names_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match=r'checks must be commands by name, as in \{"t": \["pytest", "-q"\]\}; got '):
        checked(wrong)  # type: ignore[arg-type]


def test_a_program_that_is_not_installed_is_told_with_its_check() -> None:
    refuse_missing({"tests pass": ["python", "-m", "unittest"], "mine": ["./run_tests"]})
    said = 'check "t": there is no program "no-such-program" in a folder of PATH; install it, or name one in the'
    with pytest.raises(ConfigError, match=said):
        refuse_missing({"t": ["no-such-program"]})


def test_a_workspace_is_a_folder_or_made_one(tmp_path: Path) -> None:
    make_workspace(tmp_path / "a" / "b")
    make_workspace(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for wrong in ("file", "file/inner", "link"):
        with pytest.raises(ConfigError, match=rf'workspace ".*{wrong}" cannot be used: ".*" is no folder; name'):
            refuse_no_folder(tmp_path / wrong)
