"""What is raised when a run fails: errors that callers know by name, without secrets."""

from collections.abc import Iterator, Sequence
from typing import cast

from loom.errors import ContextError, NodeError, ProviderError
from loom.runs.secrets import secrets_of


def known(error: Exception, secrets: Sequence[str]) -> Exception:
    """Return what is to be raised for a failed run: the provider's error or a full window as itself.

    No text of it, nor of what it came from, holds a secret.
    """
    cause = error.__cause__
    if isinstance(error, NodeError) and isinstance(cause, ProviderError | ContextError):
        cause.add_note(f'run "{error.run_id}", node "{error.node}"; resume goes on from there')
        error = cause
    if secrets:
        _clean(error, secrets)
    return error


def _clean(error: BaseException, secrets: Sequence[str]) -> None:
    """Replace secrets in an error and those behind it; what cannot be cleaned is cut off."""
    secrets = [*{form for secret in secrets for form in (secret, repr(secret)[1:-1])}]  # as a message may show it
    hidden = secrets_of(secrets)
    for one in _chain(error):
        one.args = tuple(hidden.clean(list(one.args)))
        if hasattr(one, "__notes__"):
            one.__notes__ = hidden.clean(one.__notes__)
        for name in ("__cause__", "__context__"):
            behind = getattr(one, name)
            if behind is not None and _shows(behind, secrets):
                setattr(one, name, None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all behind and inside it, those farthest behind first."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.append(one)
            waiting += [behind for behind in (one.__cause__, one.__context__) if behind is not None]
            waiting += _members(one)
    return reversed(found)


def _members(error: BaseException) -> Sequence[BaseException]:
    """Return what a group of errors holds; nothing of any other error."""
    return cast("BaseExceptionGroup[BaseException]", error).exceptions if isinstance(error, BaseExceptionGroup) else ()


def _shows(error: BaseException, secrets: Sequence[str]) -> bool:
    """Tell whether a traceback would show a secret in this error, or in one of its members."""
    is_shown = any(secret in str(error) for secret in secrets)
    return is_shown or any(_shows(member, secrets) for member in _members(error))
