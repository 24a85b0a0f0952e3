"""What goes wrong in a node once, and is tried again."""

from loom import Retry

NOW = Retry(max_attempts=3, backoff_s=0)


class Trouble:
    """Raises what it was given, once each."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)

    def strike(self) -> None:
        if self._errors:
            raise self._errors.pop(0)


class Sullen(Exception):  # noqa: N818 - it is none of ours
    """An error that will not say what it is about."""

    def __str__(self) -> str:
        raise RuntimeError("no text")
