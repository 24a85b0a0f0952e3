"""Callbacks of the user's around tool calls."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final, cast

from loom.errors import ConfigError, did_you_mean, error_text, quoted, short
from loom.tools.bounded import LIMIT_S, bounded
from loom.tools.failures import is_failure
from loom.types.given import check_seconds
from loom.types.policy import HookDecision, HookOutcome

# Any, in this module: what is told to a hook, and what it returns.
Hook = Callable[[dict[str, Any]], Any]

EVENTS: Final = ("after_tool_call", "before_tool_call")
_DECISIONS: Final = {decision.value: decision for decision in HookDecision}


def name_of(hook: Hook) -> str:
    """Return what a hook is called."""
    return str(getattr(hook, "__name__", type(hook).__name__))


class HookManager:
    """Callbacks that see each tool call: `before_tool_call` may forbid it, `after_tool_call` sees what came of it.

    A callback, plain or async, is given a mapping with `tool`, `arguments`, `call_id` and `run_id`, after the call also
    `result`. It returns a `HookOutcome`, a `HookDecision`, a pair of decision and message, or a mapping with the fields
    of an outcome; as a decision True allows, False denies, and "DENY" is "deny". None, and what cannot hold a decision,
    allows: a number that is not 0, an empty list. Anything else denies before a call, and is passed over after it. A
    callback that fails or takes longer than 5 seconds denies. A plain callback runs in a thread.
    """

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        check_seconds("HookManager(limit_s=…)", limit_s)
        self._hooks: dict[str, tuple[Hook, ...]] = dict.fromkeys(EVENTS, ())
        self._limit_s = limit_s

    def register(self, event: str, callback: Hook) -> None:
        """Call `callback` at `event`, after those registered before it.

        Raises:
            ConfigError: there is no such event, or the callback cannot be called.
        """
        if event not in self._hooks:
            hint = did_you_mean(event, EVENTS)
            raise ConfigError(f'there is no hook event "{event}"; there are {quoted(EVENTS)}.{hint}')
        if not callable(callback):
            raise ConfigError(f'a hook for "{event}" must be a function, got {type(callback).__name__}')
        self._hooks[event] += (callback,)

    def of(self, event: str) -> tuple[Hook, ...]:
        """Return the callbacks of an event, in their order."""
        return self._hooks[event]

    async def outcome(self, hook: Hook, told: Mapping[str, Any], *, must_decide: bool = True) -> HookOutcome:
        """Call one hook with a copy of what it is told; what goes wrong is a DENY that says so.

        Unless it `must_decide`, what it returns may also be no decision, which is an ALLOW.
        """
        name = name_of(hook)
        try:
            said = await bounded(hook, deepcopy(dict(told)), limit_s=self._limit_s)
            outcome = _read(said) if must_decide else _read_if_any(said)
        except BaseException as error:  # whatever the user's function raises: fail closed
            if not is_failure(error):
                raise
            why = f'hook "{name}" failed: {error_text(error)}'
            return HookOutcome(decision=HookDecision.DENY, message=why)
        if outcome.decision is not HookDecision.ALLOW and not outcome.message:
            return outcome.model_copy(update={"message": f'hook "{name}" said {outcome.decision.value}'})
        return outcome


def _read_if_any(said: Any) -> HookOutcome:  # noqa: ANN401
    try:
        return _read(said)
    except Exception:  # noqa: BLE001 - it is no decision, whatever is wrong with it
        return HookOutcome()


def _read(said: Any) -> HookOutcome:  # noqa: ANN401
    """Return what a hook means. Only what can be read allows, or cannot hold a decision at all."""
    match said:
        case HookOutcome():  # one that was copied with an update was not validated
            return _read({name: getattr(said, name) for name in HookOutcome.model_fields})
        case str() | bool():
            return HookOutcome(decision=_decision(said))
        case Mapping():
            fields = dict(cast("Mapping[str, Any]", said))
            if "decision" in fields:
                fields["decision"] = _decision(fields["decision"])
            return HookOutcome(**fields)
        case [decision, str() | None as message]:
            return HookOutcome(decision=_decision(decision), message=message or "")
        case None | () | []:
            return HookOutcome()
        case int() | float() if said:
            return HookOutcome()
        case _:
            raise ValueError(f"it must return a decision, a pair of decision and message, or None, got {short(said)}")


def _decision(said: object) -> HookDecision:
    if isinstance(said, bool):
        return HookDecision.ALLOW if said else HookDecision.DENY
    if isinstance(said, str) and (word := said.lower()) in _DECISIONS:
        return _DECISIONS[word]
    raise ValueError(f"it must decide one of {quoted(_DECISIONS)}, got {short(said)}")
