"""The one door to every tool: nothing reaches a tool but through here."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import from_json

from loom.errors import (
    ConfigError,
    ToolError,
    ToolExecutionError,
    ToolNotFoundError,
    ToolPermissionError,
    VetoError,
    error_text,
    short,
)
from loom.tools.access import access, check_names
from loom.tools.failures import is_failure
from loom.tools.hooks import HookManager
from loom.tools.judge import Case, Judge, canonical, digest_of
from loom.tools.limiter import Limiter
from loom.tools.results import Redactor, shortened
from loom.tools.rules import Rules
from loom.types.assembly import unchecked
from loom.types.content import MessageContent, text_of
from loom.types.decisions import Decision, ToolRun
from loom.types.given import check_kind, check_list, check_name
from loom.types.messages import MALFORMED, ToolCall, ToolResult
from loom.types.models import ToolSchema
from loom.types.policy import HookDecision, PolicyConfig, SafetyRule
from loom.types.saving import first_finding
from loom.types.tools import Tool

# Any, in this module: arguments of any tool, as JSON.

_done = unchecked(ToolRun)


class Door(Mapping[str, Tool]):
    """The tools of an agent, behind one door.

    A call passes: validation, hooks, policy, rate limit, safety rules; then it runs, then hooks see it, then secrets
    are replaced. A deny wins over an ask, an ask over an allow. What cannot be judged is denied: an unknown tool, a
    rule or hook that fails or hangs, a tool that does not say what it does. What was judged is what runs.

    All sessions of an agent share one door, and so its rate limit by `clock` (seconds). `secrets` are texts that are
    replaced by `[redacted]` in results, errors and reasons.

    As a mapping it holds tools by name, in the order given, each of which calls through the door.

    Raises:
        ConfigError: a setting is not of its type; two tools have one name, or one has a name that no provider takes; a
            tool says of itself what cannot be read; or policy or rules name a tool, or an argument of one, that is not
            there.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        *,
        policy: PolicyConfig | None = None,
        rules: Sequence[SafetyRule] = (),
        hooks: HookManager | None = None,
        secrets: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        policy = PolicyConfig() if policy is None else policy
        hooks = HookManager() if hooks is None else hooks
        check_kind("Door(policy=…)", policy, PolicyConfig)
        check_list("Door(rules=…)", rules, SafetyRule)
        check_kind("Door(hooks=…)", hooks, HookManager)
        check_list("Door(secrets=…)", secrets, str)
        self._tools: dict[str, Tool] = {}
        if not isinstance(tools, Collection):
            raise ConfigError(f"Door(tools=…) must be a list of tools; got {type(tools).__name__}: {short(tools)}")
        for tool in tools:
            if not isinstance(getattr(tool, "name", None), str):
                raise ConfigError(
                    f"a tool is made by @tool, or has a name and all else of loom.types.Tool; got {short(tool)}"
                )
            check_name(f'tool "{tool.name}": its name', tool.name)
            if tool.name in self._tools:
                raise ConfigError(f'two tools have the name "{tool.name}"; give one another, as in tool(name=…)')
            self._tools[tool.name] = tool
        for setting in ("allow", "deny"):
            names: list[str] = getattr(policy.tools.access, setting)
            check_names(f"ToolAccessPolicy({setting}=…) names the tool", names, self._tools)
        self._hooks = hooks
        self._redactor = Redactor(secrets)
        self._limiter = Limiter[Case](policy.tools.rate_limits.max_calls_per_minute, clock)
        self._judge = Judge(
            tools=self._tools,
            verdicts={name: access(policy, tool) for name, tool in self._tools.items()},
            rules=Rules(rules, self._tools),
            hooks=self._hooks,
            limiter=self._limiter,
            redactor=self._redactor,
        )
        self._guarded = {name: GuardedTool(self, tool) for name, tool in self._tools.items()}

    def __getitem__(self, name: str) -> Tool:
        return self._guarded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def schemas(self) -> tuple[ToolSchema, ...]:
        """Return what a model is told of the tools, in their order."""
        return tuple(tool.schema for tool in self._tools.values())

    async def judge(self, call: ToolCall, *, run_id: str) -> Decision:
        """Decide about a call. A bad call is denied, with a reason; nothing is raised.

        An allowed call has a place in the rate limit for 60 seconds; one that is denied or asked about takes none.
        """
        return await self._judge.judge(call, run_id)

    async def run(self, decision: Decision, *, run_id: str) -> ToolRun:
        """Make the call that was decided on, with exactly the arguments that were judged.

        What the tool cannot do is a result that is an error. An "ask" is run as it is: that it was answered is the
        caller's to know. A decision that this door did not make within the last minute, one that was run before
        and one that was asked about is judged anew and takes a place in the rate limit.

        Raises:
            ToolPermissionError: the decision denies the call, or was changed since it was made; or judged anew the
                call is denied, or would have to be asked about though the decision allows it.
        """
        if decision.outcome == "deny":
            raise ToolPermissionError(f"the call was denied: {decision.reason}")
        done = await self._run(decision, run_id)
        content, kept = shortened(done.result.content, self._tools[decision.tool].max_output_chars)
        if not kept:
            return done
        return ToolRun(result=done.result.model_copy(update={"content": content}), kept=kept, notes=done.notes)

    async def call(self, name: str, /, **arguments: Any) -> ToolResult:
        """Judge a call and make it; return the whole result. What the tool cannot do is a result that is an error.

        Raises:
            ToolNotFoundError: there is no such tool.
            VetoError: a safety rule forbids the call.
            ToolPermissionError: policy, rate limit or a hook forbid it, or somebody would have to be asked.
        """
        try:
            wish = ToolCall(id="", name=name, arguments=arguments)
        except ValidationError as error:  # a name that is no text, JSON that is nested too deep
            wish = ToolCall(id="", name=str(name), arguments={MALFORMED: first_finding(error)})
        decision = await self.judge(wish, run_id="")
        if decision.by == "lookup":
            raise ToolNotFoundError(decision.reason)
        if decision.by == "rule":
            raise VetoError(decision.reason)
        if decision.by == "arguments":
            return ToolResult(tool_call_id="", content=decision.reason, is_error=True)
        if decision.outcome != "allow":
            raise ToolPermissionError(decision.reason)
        return (await self._run(decision, "")).result

    async def _run(self, decision: Decision, run_id: str) -> ToolRun:
        """Make the call that was decided on; return the whole result."""
        saved = self._saved(decision, run_id)
        if not self._limiter.use(decision.digest):
            await self._judge_again(decision, run_id)
        call = from_json(saved)
        tool = self._tools[call["tool"]]
        content, is_error = await self._made(tool, call["arguments"])
        result = ToolResult(tool_call_id=decision.call_id, content=content, is_error=is_error)
        hooks = self._hooks.of("after_tool_call")
        if not hooks:
            return _done(result=result)
        told = {"tool": tool.name, "arguments": from_json(saved)["arguments"], "call_id": decision.call_id}
        told |= {"run_id": run_id, "result": result}
        said = [await self._hooks.outcome(hook, told, must_decide=False) for hook in hooks]
        notes = (outcome.message for outcome in said if outcome.decision is not HookDecision.ALLOW)
        return ToolRun(result=result, notes=tuple(map(self._redactor.clean, notes)))

    def _saved(self, decision: Decision, run_id: str) -> bytes:
        """Return the canonical JSON of the call that was decided on."""
        case = self._limiter.call(decision.digest)
        if case is not None and case.decision is decision and case.run_id == run_id:
            return case.saved  # the very decision that was made here a moment ago: it cannot be changed
        try:
            saved = canonical(decision.tool, decision.arguments, run_id)
        except (TypeError, ValueError):
            saved = b""
        if decision.tool not in self._tools or decision.digest != digest_of(saved):
            raise ToolPermissionError(
                f'this is not the decision that was made about tool "{decision.tool}" in this run: judge the call anew'
            )
        return saved

    async def _judge_again(self, decision: Decision, run_id: str) -> None:
        call = ToolCall(id=decision.call_id, name=decision.tool, arguments=decision.arguments)
        again = await self._judge.judge(call, run_id, is_answered=decision.outcome == "ask")
        if again.outcome == "deny" or (again.outcome == "ask" and decision.outcome == "allow"):
            raise ToolPermissionError(again.reason)
        if again.digest != decision.digest:
            self._limiter.give_back(again.digest)
            raise ToolPermissionError(f'the hooks now want other arguments for tool "{decision.tool}": judge it anew')
        self._limiter.use(decision.digest)

    async def _made(self, tool: Tool, arguments: dict[str, Any]) -> tuple[MessageContent, bool]:
        try:
            return self._redactor.clean_content(await tool.call(arguments)), False
        except ToolError as error:
            return self._redactor.clean(str(error)), True
        except BaseException as error:  # a tool of somebody else's
            if not is_failure(error):
                raise
            return self._redactor.clean(f'tool "{tool.name}" failed: {error_text(error)}'), True


class GuardedTool:
    """A tool behind its door: it says what the tool says of itself, and calls go through the door."""

    def __init__(self, door: Door, tool: Tool) -> None:
        self._door = door
        self._tool = tool

    def __repr__(self) -> str:
        return f"<guarded tool {self._tool.name}>"

    @property
    def name(self) -> str:
        """The name the model calls it by."""
        return self._tool.name

    @property
    def schema(self) -> ToolSchema:
        """What the model is told of it."""
        return self._tool.schema

    @property
    def read_only(self) -> bool:
        """Whether a call changes nothing."""
        return self._tool.read_only

    @property
    def destructive(self) -> bool:
        """Whether a call may destroy what cannot be brought back."""
        return self._tool.destructive

    @property
    def concurrency_safe(self) -> bool:
        """Whether calls may run at the same time as others."""
        return self._tool.concurrency_safe

    @property
    def idempotent(self) -> bool:
        """Whether a second equal call does no more than the first."""
        return self._tool.idempotent

    @property
    def requires_permission(self) -> bool:
        """Whether a person is asked before each call."""
        return self._tool.requires_permission

    @property
    def contexts(self) -> Sequence[str]:
        """The policy contexts it may be used in; empty: all."""
        return self._tool.contexts

    @property
    def max_output_chars(self) -> int:
        """How much of a result a model is shown."""
        return self._tool.max_output_chars

    @property
    def effect(self) -> Literal["read", "write"]:
        """What a call does to the world."""
        return self._tool.effect

    async def call(self, arguments: Mapping[str, Any]) -> MessageContent:
        """Call the tool through the door.

        Raises:
            VetoError, ToolPermissionError: the call is forbidden.
            ToolExecutionError: the arguments do not fit, or the tool failed.
        """
        result = await self._door.call(self.name, **arguments)
        if result.is_error:
            raise ToolExecutionError(text_of(result.content))
        return result.content


def as_door(tools: Mapping[str, Tool]) -> Door:
    """Return tools behind a door with the default policy; a door as it is.

    Raises:
        ConfigError: a tool stands under another name than its own.
    """
    if isinstance(tools, Door):
        return tools
    for name, tool in tools.items():
        if tool.name != name:
            raise ConfigError(
                f'the tool under "{name}" is called "{tool.name}"; a model is told the latter: use one name'
            )
    return Door(tuple(tools.values()))
