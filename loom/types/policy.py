"""What a user allows tools to do: access, rate limits, contexts, safety rules, hooks."""

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, PrivateAttr, model_validator

from loom.types.folding import folded, folded_text, is_same, parts, texts_of
from loom.types.settings import Settings

# Any, in this module: arguments of any tool, as JSON.


class ToolAccessPolicy(Settings):
    """Which tools may be used, by name. An empty `allow` allows all; `deny` wins over `allow`.

    `read_only_only` leaves only tools that change nothing; tools that are `destructive` need `allow_destructive`.
    """

    allow: list[str] = []
    deny: list[str] = []
    read_only_only: bool = False
    allow_destructive: bool = False


class ToolRateLimitPolicy(Settings):
    """How many tool calls may be made in any 60 seconds, by all sessions of an agent together."""

    max_calls_per_minute: Annotated[int, Field(ge=1)] = 60


class ToolPolicy(Settings):
    """What is allowed of tools."""

    access: ToolAccessPolicy = ToolAccessPolicy()
    rate_limits: ToolRateLimitPolicy = ToolRateLimitPolicy()


class PolicyContext(Settings):
    """The context an agent works in. A tool that lists `contexts` may be used only in one of those."""

    name: Annotated[str, Field(min_length=1)] = "default"

    @classmethod
    def default(cls) -> Self:
        """Name the context `default`."""
        return cls()

    @classmethod
    def named(cls, name: str) -> Self:
        """Name a context."""
        return cls(name=name)


class PolicyConfig(Settings):
    """What an agent is allowed to do."""

    tools: ToolPolicy = ToolPolicy()
    context: PolicyContext = PolicyContext()


class SafetyEvaluator(Settings):
    """A judgement of the user's own: `handler(tool_name, arguments)` is true where a rule matches.

    It is a plain function. In a run it works in a thread and has 5 seconds; one that fails, hangs or gives no bool
    denies the call.
    """

    handler: Callable[[str, dict[str, Any]], bool]

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        if inspect.iscoroutinefunction(self.handler):
            raise ValueError("must have a plain function, not an async one")
        return self

    @classmethod
    def callable(cls, handler: Callable[[str, dict[str, Any]], bool]) -> Self:
        """Make an evaluator of a function."""
        return cls(handler=handler)

    def evaluate(self, tool_name: str, arguments: dict[str, Any]) -> bool:
        """Tell whether the rule matches. The handler gets a copy of the arguments.

        Raises:
            TypeError: the handler gave something else than a bool.
        """
        verdict: object = self.handler(tool_name, deepcopy(arguments))
        if not isinstance(verdict, bool):
            raise TypeError(f"the evaluator must give True or False, got {type(verdict).__name__}")
        return verdict


class SafetyRule(Settings):
    """A rule that forbids tool calls. All conditions that are given must hold; a rule without any never matches.

    `tool_names` restricts it to those tools. Texts are compared in NFKC, case-folded, trimmed, without invisible
    characters. A value inside a list or mapping counts like the argument itself. `arg_equals` compares JSON: 1 is 1.0
    but not true; a text is compared with a number or boolean as text. `arg_prefixes` and `arg_contains_any` look at
    texts, and at numbers and booleans as JSON writes them; of `arg_contains_any` one text is enough. A null argument
    equals null and nothing else. A missing one matches nothing; but at the door defaults are filled in first, and a
    call that leaves out what a rule about its tool looks at is denied.
    """

    name: Annotated[str, Field(min_length=1)]
    reason: str
    tool_names: list[str] = []
    arg_equals: dict[str, JsonValue] = {}
    arg_prefixes: dict[str, str] = {}
    arg_contains_any: dict[str, list[str]] = {}
    evaluator: SafetyEvaluator | None = None

    _conditions: "_Conditions" = PrivateAttr()

    @model_validator(mode="after")
    def _folded_once(self) -> Self:
        self._conditions = _Conditions(
            frozenset((*self.arg_equals, *self.arg_prefixes, *self.arg_contains_any)),
            tuple((name, folded(value)) for name, value in self.arg_equals.items()),
            tuple((name, folded_text(prefix)) for name, prefix in self.arg_prefixes.items()),
            tuple((name, tuple(map(folded_text, texts))) for name, texts in self.arg_contains_any.items()),
        )
        texts = [prefix for _, prefix in self._conditions.prefixes]
        texts += [text for _, wanted in self._conditions.contained for text in wanted]
        if not all(texts):
            raise ValueError(f'"{self.name}" looks for an empty text, which is in everything')
        return self

    @classmethod
    def block_tool(cls, *, name: str, tool_names: list[str], reason: str) -> Self:
        """Forbid tools altogether."""
        return cls(name=name, reason=reason, tool_names=tool_names)

    @classmethod
    def when_argument_equals(cls, *, name: str, tool_name: str, argument: str, value: JsonValue, reason: str) -> Self:
        """Forbid a call whose argument has a value."""
        return cls(name=name, reason=reason, tool_names=[tool_name], arg_equals={argument: value})

    @classmethod
    def when_argument_startswith(cls, *, name: str, tool_name: str, argument: str, prefix: str, reason: str) -> Self:
        """Forbid a call whose argument begins with a text."""
        return cls(name=name, reason=reason, tool_names=[tool_name], arg_prefixes={argument: prefix})

    @classmethod
    def when_argument_contains_any(
        cls, *, name: str, tool_name: str, argument: str, values: list[str], reason: str
    ) -> Self:
        """Forbid a call whose argument contains one of some texts."""
        return cls(name=name, reason=reason, tool_names=[tool_name], arg_contains_any={argument: values})

    @classmethod
    def custom(cls, *, name: str, reason: str, evaluator: SafetyEvaluator, tool_names: list[str] | None = None) -> Self:
        """Forbid what an evaluator says."""
        return cls(name=name, reason=reason, tool_names=tool_names or [], evaluator=evaluator)

    @property
    def looks_at(self) -> frozenset[str]:
        """The arguments that its conditions are about, other than by the evaluator."""
        return self._conditions.arguments

    def concerns(self, tool_name: str) -> bool:
        """Tell whether the rule may forbid calls of a tool; never, if it has no condition at all."""
        if self.tool_names:
            return tool_name in self.tool_names
        return bool(self._conditions.arguments or self.evaluator)

    def matches(self, tool_name: str, arguments: dict[str, Any]) -> bool:
        """Tell whether the rule forbids a call. What the evaluator raises is raised."""
        folded_arguments = {name: folded(value) for name, value in arguments.items()}
        if not (self.concerns(tool_name) and self.holds(folded_arguments)):
            return False
        return self.evaluator is None or self.evaluator.evaluate(tool_name, arguments)

    @property
    def holds(self) -> Callable[[Mapping[str, JsonValue]], bool]:
        """Whether all conditions but the evaluator's hold, as a function of arguments that are folded already."""
        return self._conditions.hold


@dataclass(frozen=True, slots=True)
class _Conditions:
    """What a rule wants of arguments, folded: pairs of an argument and what it must be, begin with or contain."""

    arguments: frozenset[str]
    equal: tuple[tuple[str, JsonValue], ...]
    prefixes: tuple[tuple[str, str], ...]
    contained: tuple[tuple[str, tuple[str, ...]], ...]

    def hold(self, arguments: Mapping[str, JsonValue]) -> bool:
        """Tell whether all hold for arguments that are folded already."""
        if not self.arguments <= arguments.keys():
            return False
        for name, value in self.equal:
            if not any(is_same(part, value) for part in parts(arguments[name])):
                return False
        for name, prefix in self.prefixes:
            if not any(text.startswith(prefix) for text in texts_of(arguments[name])):
                return False
        return all(
            any(part in text for text in texts_of(arguments[name]) for part in wanted)
            for name, wanted in self.contained
        )


class HookDecision(StrEnum):
    """What a hook says of a tool call."""

    ALLOW = "allow"
    DENY = "deny"
    ASK = "ask"


class HookOutcome(Settings):
    """What a hook says of a tool call, and why.

    `arguments` replace those of the call, which is then validated and judged anew. `context_updates` are added to what
    the hooks after this one are told.
    """

    decision: HookDecision = HookDecision.ALLOW
    message: str = ""
    arguments: dict[str, Any] | None = None
    context_updates: dict[str, Any] = {}
