"""Whether a tool call may be made: validation, hooks, policy, rate limit, safety rules, in this order."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from loom.errors import ToolExecutionError, did_you_mean, error_text, quoted
from loom.tools.access import Verdict
from loom.tools.failures import is_failure
from loom.tools.foreign import CANONICAL, as_json, held_against_schema
from loom.tools.hooks import HookManager, name_of
from loom.tools.limiter import Limiter
from loom.tools.results import Redactor
from loom.tools.rules import Rules
from loom.types.assembly import unchecked
from loom.types.decisions import DecidedBy, Decision, Outcome
from loom.types.frozen import frozen
from loom.types.messages import MALFORMED, ToolCall
from loom.types.policy import HookDecision
from loom.types.tools import Tool

# Any, in this module: arguments of any tool, as JSON.

_HOOK_ROUNDS: Final = 8
_REASON_CHARS: Final = 2000

_decided = unchecked(Decision)


def canonical(tool: str, arguments: Mapping[str, Any], run_id: str) -> bytes:
    """Return the canonical JSON of a call: sorted, without white space.

    Raises:
        ValueError, TypeError: the arguments are no JSON.
    """
    # For all but texts the encoder sets itself up anew, which takes longer than what it then does. So the frame is put
    # together here, and whole numbers are written as it writes them.
    encode = CANONICAL.encode
    items = [
        f"{encode(name)}:{repr(value) if type(value) is int else encode(value)}"
        for name, value in sorted(arguments.items())
    ]
    return f'{{"arguments":{{{",".join(items)}}},"run_id":{encode(run_id)},"tool":{encode(tool)}}}'.encode()


def digest_of(saved: bytes) -> str:
    """Return the SHA-256 in hex of a call's canonical JSON."""
    return hashlib.sha256(saved).hexdigest()


@dataclass(slots=True)
class Case:
    """A call on its way through the judgement. `saved` is its canonical JSON, `decision` what became of it."""

    call: ToolCall
    run_id: str
    arguments: dict[str, Any]
    saved: bytes = b""
    digest: str = ""
    decision: Decision | None = None


class _Denied(Exception):  # noqa: N818 - not an error: how judging ends early
    def __init__(self, by: DecidedBy, rule: str, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.by: DecidedBy = by
        self.rule = rule
        self.reason = reason
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Judge:
    """Judge calls of tools. `verdicts` are what the policy says of each tool, by its name."""

    tools: Mapping[str, Tool]
    verdicts: Mapping[str, Verdict]
    rules: Rules
    hooks: HookManager
    limiter: Limiter[Case]
    redactor: Redactor

    async def judge(self, call: ToolCall, run_id: str, *, is_answered: bool = False) -> Decision:
        """Decide about a call. A bad call is denied; nothing is raised.

        `is_answered`: if there is something to ask, it was asked and allowed, so the call takes its place now.
        """
        case = Case(call, run_id, call.arguments)
        try:
            return await self._decided(case, is_answered)
        except _Denied as denied:
            return self._denial(case, denied)

    async def _decided(self, case: Case, is_answered: bool) -> Decision:
        name = case.call.name
        if name not in self.tools:
            hint = did_you_mean(name, self.tools)
            raise _Denied("lookup", "", f'there is no tool "{name}"; there are {quoted(self.tools)}.{hint}')
        tool = self.tools[name]
        self._validate(case, tool, case.arguments)
        asked = await self._hooked(case, tool) if self.hooks.of("before_tool_call") else None
        outcome, setting, reason = self.verdicts[name]
        if outcome == "deny":
            raise _Denied("policy", setting, reason)
        is_allowed = asked is None and outcome == "allow"
        takes_place = is_allowed or is_answered  # a call that is asked about is counted when it is made
        has_rules = self.rules.concern(name)
        if has_rules or not takes_place:
            self._refuse_to_wait(self.limiter.wait_s())
        veto = await self.rules.veto(name, case.arguments) if has_rules else None
        if veto is not None:
            raise _Denied("rule", veto[0], f'safety rule "{veto[0]}": {veto[1]}')
        if takes_place:
            self._refuse_to_wait(self.limiter.take(case.digest, case))  # others may have been faster with their rules
        if is_allowed:
            # Through a run the object itself passes, by which the door knows it again, only if all its fields are set.
            case.decision = self._decision(case, "allow", "", "", "")
            return case.decision
        if asked is not None:
            return self._decision(case, "ask", "hook", *asked)
        return self._decision(case, "ask", "policy", setting, reason)

    def _refuse_to_wait(self, wait_s: float) -> None:
        if wait_s:
            raise _Denied("rate_limit", "tools.rate_limits", self.limiter.full(wait_s), wait_s)

    def _validate(self, case: Case, tool: Tool, arguments: Mapping[str, Any]) -> None:
        """Put the validated arguments and their digest into the case, which else stays as it was."""
        if MALFORMED in arguments:
            why = f'tool "{tool.name}" was not called: its arguments are no JSON object: {arguments[MALFORMED]}'
            raise _Denied("arguments", "", why)
        validated = getattr(tool, "validated", None)
        try:
            judged = held_against_schema(tool, arguments) if validated is None else validated(arguments)
            saved = canonical(tool.name, judged, case.run_id)
        except ToolExecutionError as error:
            raise _Denied("arguments", "", str(error)) from None
        except BaseException as error:  # what cannot be judged is denied
            if not is_failure(error):
                raise
            why = f'tool "{tool.name}" was not called, its arguments cannot be judged: {error_text(error)}'
            raise _Denied("arguments", "", why) from None
        case.arguments, case.saved, case.digest = judged, saved, digest_of(saved)

    async def _hooked(self, case: Case, tool: Tool) -> tuple[str, str] | None:
        """Ask the hooks, again from the first one whenever one changed the arguments; return who asks, and why."""
        for _ in range(_HOOK_ROUNDS):
            judged, asked = case.digest, None
            told: dict[str, Any] = {"tool": tool.name, "call_id": case.call.id, "run_id": case.run_id}
            for hook in self.hooks.of("before_tool_call"):
                outcome = await self.hooks.outcome(hook, {**told, "arguments": case.arguments})
                if outcome.decision is HookDecision.DENY:
                    raise _Denied("hook", name_of(hook), outcome.message)
                if outcome.arguments is not None:
                    self._validate(case, tool, _saveable(outcome.arguments, name_of(hook)))
                    if case.digest != judged:
                        break
                if outcome.decision is HookDecision.ASK and asked is None:
                    asked = name_of(hook), outcome.message
                told |= outcome.context_updates
            else:
                return asked
        raise _Denied("hook", "", f'the hooks changed the arguments of tool "{tool.name}" {_HOOK_ROUNDS} times')

    def _denial(self, case: Case, denied: _Denied) -> Decision:
        if not case.digest:
            try:
                case.arguments = frozen(as_json(case.arguments))
            except Exception:  # noqa: BLE001 - what is no JSON cannot be told, only that it was denied
                case.arguments = {}
            case.digest = digest_of(canonical(case.call.name, case.arguments, case.run_id))
        return self._decision(case, "deny", denied.by, denied.rule, denied.reason, denied.retry_after_s)

    def _decision(
        self, case: Case, outcome: Outcome, by: DecidedBy, rule: str, reason: str, retry_after_s: float | None = None
    ) -> Decision:
        told = self.redactor.clean(reason)
        return _decided(
            call_id=case.call.id,
            tool=case.call.name,
            outcome=outcome,
            by=by,
            rule=rule,
            reason=told if len(told) <= _REASON_CHARS else f"{told[:_REASON_CHARS]} …",
            digest=case.digest,
            arguments=frozen(case.arguments),
            retry_after_s=retry_after_s,
        )


def _saveable(arguments: dict[str, Any], hook: str) -> dict[str, Any]:
    """Return the arguments that a hook wants, unless a decision could not hold them."""
    try:
        frozen(arguments)
    except (ValueError, RecursionError) as error:
        raise _Denied("hook", hook, f'hook "{hook}" wants other arguments, which cannot be saved: {error}') from None
    return arguments
