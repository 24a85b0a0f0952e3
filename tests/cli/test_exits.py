import errno
import json
import os
from pathlib import Path

import pytest
import typer

from loom.cli.exits import Exit, LoadError, OutputError, code_of, place_of, reported, shown, tell, writing
from loom.errors import (
    AnswerError,
    CheckpointError,
    ConfigError,
    EffectError,
    GraphChangedError,
    GraphError,
    LoomError,
    NodeError,
    NoEdgeError,
    ProviderError,
    RunConflictError,
    RunExistsError,
    RunNotFoundError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GraphError("g", ()), 1),
        (LoadError(""), 1),
        (LoomError("no renderer"), 1),
        (ConfigError(""), 2),
        (AnswerError(""), 2),
        (NodeError("", run_id="", node="", step=1, attempt=1), 3),
        (NoEdgeError("", node=""), 3),
        (EffectError(""), 3),
        (CheckpointError(""), 5),
        (GraphChangedError("", ()), 5),
        (RunConflictError(""), 5),
        (RunExistsError(""), 5),
        (RunNotFoundError(""), 5),
        (OutputError(""), 6),
    ],
)
def test_each_kind_of_error_has_its_code(error: LoomError, code: int) -> None:
    assert code_of(error) == code


def test_an_error_ends_the_command_with_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, reported(is_debug=False):
        raise ConfigError('no "[bold]markup[/bold]" is read in it')
    assert caught.value.exit_code == Exit.USAGE
    assert capsys.readouterr() == ("", 'error: no "[bold]markup[/bold]" is read in it\n')


def test_ctrl_c_ends_the_command_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, reported(is_debug=False):
        raise KeyboardInterrupt
    assert caught.value.exit_code == Exit.CANCELLED
    assert capsys.readouterr() == ("", "")


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), reported(is_debug=False):
        _ = 1 / 0


def test_notes_follow_the_message_and_nothing_in_it_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    error = ProviderError("said \x1b[2Jthat")
    error.add_note("asked 3 times")
    tell(error, is_debug=False)
    assert capsys.readouterr().err == "error: said \N{REPLACEMENT CHARACTER}[2Jthat\nasked 3 times\n"


def test_a_traceback_leaves_the_message_to_what_follows_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError("no such thing")
    error.add_note("try another")
    with pytest.raises(typer.Exit), reported(is_debug=True):
        raise error from KeyError("x")
    said = capsys.readouterr().err
    assert "KeyError: 'x'\n" in said
    assert said.endswith('raise error from KeyError("x")\nerror: no such thing\ntry another\n')
    assert (said.count("no such thing"), said.count("try another")) == (1, 1)


def test_what_python_would_write_in_a_call_is_told_as_options(capsys: pytest.CaptureFixture[str]) -> None:
    said = {
        'go on with resume(on_change="continue"), rename={"old": "new"} for nodes': (
            "go on with --on-change continue, and --rename old=new for nodes"
        ),
        'rename={"a": "b c"}: "a" is no node of the run.': "--rename 'a=b c': \"a\" is no node of the run.",
        "resume(rename={'a': 'b', 'c': 'd'}): run \"r1\" was begun": '--rename: run "r1" was begun',
        "run_id must be a text; got ''": "--run-id must be a text; got ''",
    }
    for python, options in said.items():
        for error in (GraphChangedError(python, ()), ConfigError(python)):
            tell(error, is_debug=False)
            assert capsys.readouterr().err == f"error: {options}\n"
    tell(ProviderError('said rename={"a": "b"}'), is_debug=False)
    assert capsys.readouterr().err == 'error: said rename={"a": "b"}\n'


def test_what_cannot_be_written_to_stdout_is_told() -> None:
    with pytest.raises(OutputError, match=r"^cannot write to stdout: No space left on device$"), writing():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_reader_that_went_away_is_no_error_of_ours() -> None:
    with pytest.raises(BrokenPipeError), writing():
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def test_the_place_of_an_error_is_the_last_line_of_the_users() -> None:
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("{")
    line = Path(__file__).read_text().splitlines().index('        json.loads("{")') + 1
    assert place_of(caught.value) == f"{shown(Path(__file__))}, line {line}"


def test_an_error_without_a_line_of_the_users_has_no_place() -> None:
    assert place_of(None) == place_of(ValueError("never raised")) == ""


def test_a_path_is_shown_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b.py") == str(Path("a", "b.py"))
    assert shown(tmp_path.parent / "b.py") == str(tmp_path.parent / "b.py")
