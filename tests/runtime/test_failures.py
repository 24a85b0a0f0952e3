"""Tests of what is raised when a run fails."""

import traceback

from loom import ContextOverflowError, NodeError, RateLimitError
from loom.runtime.failures import known

SECRET = "sk-canary-0123456789"


def failed(cause: Exception) -> NodeError:
    """Return a node's failure, as the executor raises it."""
    error = NodeError(f'run "r": {cause}', run_id="r", node="reason", step=1, attempt=1)
    error.__cause__ = cause
    return error


def shown(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def test_what_callers_know_by_name_is_raised_as_itself() -> None:
    for cause in (RateLimitError("slow down", retry_after_s=3), ContextOverflowError("full")):
        error = known(failed(cause), ())
        assert error is cause
        assert 'run "r", node "reason"; resume goes on from there' in shown(error)


def test_any_other_failure_stays_that_of_its_node() -> None:
    error = failed(ValueError("no"))
    assert known(error, ()) is error
    assert isinstance(error.__cause__, ValueError)


def test_no_text_of_a_failure_holds_a_secret() -> None:
    for cause in (ValueError(f"bad key {SECRET}"), KeyError(SECRET), RateLimitError(f"no {SECRET}", retry_after_s=3)):
        cause.add_note(f"the key was {SECRET}")
        error = known(failed(cause), (SECRET,))
        assert SECRET not in shown(error)
        assert "[redacted]" in str(error)


def test_a_cause_that_cannot_be_cleaned_is_cut_off() -> None:
    class StubbornError(Exception):
        def __str__(self) -> str:
            return SECRET

    error = known(failed(StubbornError()), (SECRET,))
    assert SECRET not in shown(error)
    assert error.__cause__ is None
