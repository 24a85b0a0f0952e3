"""Every error Loom raises.

    LoomError
    ├─ GraphError          before running: .problems
    ├─ RunError            while running: NodeError NoEdgeError EffectError AnswerError
    │                      RunExistsError RunNotFoundError RunConflictError GraphChangedError
    ├─ CheckpointError     storage
    ├─ ProviderError       ProviderUnavailableError RateLimitError
    ├─ ToolError           ToolNotFoundError ToolPermissionError ToolExecutionError
    ├─ ContextError        ContextOverflowError
    └─ ConfigError (also a ValueError) SpecError PromptError VetoError

A message says what went wrong, where, what was got and expected, and what to do. Names stand in
quotes, lists are sorted.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple


class LoomError(Exception):
    """The root: `except LoomError` catches everything that Loom raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:  # so that each crosses to another process, whatever its `__init__` asks
        return _made_again, (type(self), self.args), self.__dict__


def _made_again(kind: type[LoomError], given: tuple[object, ...]) -> LoomError:
    return kind.__new__(kind, *given)


class Problem(NamedTuple):
    """One finding of `Graph.check()`."""

    code: str
    where: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        mark = "" if self.severity == "error" else " (warning)"
        return f"{self.code}{mark} at {self.where}: {self.message}"


class GraphError(LoomError):
    """A graph that cannot run. `problems` holds every finding, warnings included; its message has those last."""

    def __init__(self, graph: str, problems: Sequence[Problem]) -> None:
        self.graph = graph
        self.problems = tuple(problems)
        errors = [problem for problem in problems if problem.severity == "error"]
        warnings = [problem for problem in problems if problem.severity == "warning"]
        counted = (("problem", len(errors)), ("warning", len(warnings)))
        has = " and ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counted if count)
        lines = "\n".join(f"  {problem}" for problem in (*errors, *warnings))
        super().__init__(f'graph "{graph}" has {has}:\n{lines}')


class RunError(LoomError):
    """Something went wrong in one run; the run is saved up to there."""


class NodeError(RunError):
    """A node failed after its retries. Its cause is `__cause__`; the run can be resumed."""

    def __init__(self, message: str, *, run_id: str, node: str, step: int, attempt: int) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.node = node
        self.step = step
        self.attempt = attempt


class NoEdgeError(RunError):
    """No condition of a switch held, and it has no `otherwise`."""

    def __init__(self, message: str, *, node: str) -> None:
        super().__init__(message)
        self.node = node


class EffectError(RunError):
    """A node did more to the world than it declares."""


class AnswerError(RunError):
    """An answer to an unknown or answered ask, or of the wrong type. Nothing was changed."""


class RunExistsError(RunError):
    """A new run was to begin under an id that is taken."""


class RunNotFoundError(RunError):
    """The checkpointer has no run of this id."""


class RunConflictError(RunError):
    """Another owner works on this run, or took it over."""


class Change(NamedTuple):
    """One difference between the graph of a journal and the graph at hand."""

    node: str
    what: Literal["body", "config", "ports", "edges", "renamed", "removed", "added", "state"]


class GraphChangedError(RunError):
    """The graph differs from the one the run was begun with. `changes` says where."""

    def __init__(self, message: str, changes: Sequence[Change]) -> None:
        super().__init__(message)
        self.changes = tuple(changes)


class CheckpointError(LoomError):
    """Storage failed, or holds what it should not. No committed record is lost by it."""


class ProviderError(LoomError):
    """A model provider refused or failed; asking again as it is would fail again."""


class ProviderUnavailableError(ProviderError):
    """The provider cannot be reached or used: no key, no network, overloaded."""


class RateLimitError(ProviderError):
    """The provider wants fewer calls. `retry_after_s` is its own wish in seconds, if it gave one."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ToolError(LoomError):
    """A tool call that did not work."""


class ToolNotFoundError(ToolError):
    """No tool has this name."""


class ToolPermissionError(ToolError):
    """A policy forbids this call, or a permission would have to be asked for."""


class ToolExecutionError(ToolError):
    """The tool ran and failed."""


class ContextError(LoomError):
    """A context window that cannot be made to work."""


class ContextOverflowError(ContextError):
    """The messages do not fit the model's window, whatever is left out."""


class ConfigError(LoomError, ValueError):
    """A setting is of the wrong type or value."""


class SpecError(LoomError):
    """A graph written as data cannot be read, or names what it may not."""


class PromptError(LoomError):
    """A prompt template is missing, broken or lacks a variable."""


class VetoError(LoomError):
    """A veto rule forbade a tool call."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the known name closest to `name`, or an empty string."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for what goes wrong

    close = get_close_matches(str(name), sorted(known), n=1)  # a name may come from untyped code
    return f' Did you mean "{close[0]}"?' if close else ""


def quoted(names: Iterable[str]) -> str:
    """Return the names sorted, in double quotes, separated by commas; `none` if there are none."""
    return ", ".join(f'"{name}"' for name in sorted(names)) or "none"


def short(value: object) -> str:
    """Return the repr of a value, cut to 80 characters; of one that has none, its type."""
    try:
        return f"{value!r:.80}"
    except Exception:  # noqa: BLE001 - of an integer that is too long, or what is nested too deep, or the user's own
        return f"a value of type {type(value).__name__} that cannot be shown"


def error_text(error: BaseException) -> str:
    """Return the type of an error, and its text if it has one to tell."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception as failed:  # noqa: BLE001 - the user's own
        return f"{name}: its text cannot be told, {type(failed).__name__}"
