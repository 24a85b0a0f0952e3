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


def test_members_of_a_group_are_cleaned_and_a_group_that_cannot_be_is_cut_off() -> None:
    def group(message: str, *members: Exception) -> ExceptionGroup[Exception]:
        made = ExceptionGroup(message, [*members, ExceptionGroup("deeper", [ValueError(f"bad {SECRET}")])])
        made.__cause__ = KeyError(SECRET)
        return made

    error = known(failed(group("two failed", ValueError(SECRET))), (SECRET,))
    assert SECRET not in shown(error)
    assert "two failed" in shown(error)
    assert shown(error).count("[redacted]") == 3
    for cause in (group(f"about {SECRET}"), group("odd", UnicodeDecodeError("utf8", b"", 0, 1, SECRET))):
        assert SECRET not in shown(known(failed(cause), (SECRET,)))


def test_a_secret_is_found_as_a_message_quotes_it() -> None:
    secret = "a\"b\\c'd"
    error = known(failed(ValueError(("key", secret))), (secret,))
    assert "b\\\\c" not in shown(error)
    assert "[redacted]" in shown(error)
