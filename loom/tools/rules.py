"""Safety rules at the door: which forbids a call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from loom.errors import ConfigError, did_you_mean, error_text, quoted
from loom.tools.access import check_names
from loom.tools.bounded import LIMIT_S, bounded
from loom.tools.failures import is_failure
from loom.types.folding import folded
from loom.types.policy import SafetyRule
from loom.types.tools import Tool

# Any, in this module: arguments of any tool, as JSON.


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule with what is asked of it at every call: a pydantic record is slow to say it."""

    rule: SafetyRule
    holds: Callable[[Mapping[str, JsonValue]], bool]
    wanted: frozenset[str]  # the arguments that a call must have for the rule to be judged


class Rules:
    """Safety rules by the tools that they are about."""

    def __init__(self, rules: Sequence[SafetyRule], tools: Mapping[str, Tool], *, limit_s: float = LIMIT_S) -> None:
        self._of = {
            name: [_Rule(rule, rule.holds, _wanted(rule, tool)) for rule in rules if rule.concerns(name)]
            for name, tool in tools.items()
        }
        self._limit_s = limit_s
        for rule in rules:
            _check(rule, tools)

    def concern(self, tool: str) -> bool:
        """Tell whether there is a rule about a tool."""
        return bool(self._of[tool])

    async def veto(self, tool: str, arguments: dict[str, Any]) -> tuple[str, str] | None:
        """Return the name of the first rule that forbids a call, and why; None where none does."""
        rules = self._of[tool]
        if not rules:
            return None
        try:
            texts = {name: folded(value) for name, value in arguments.items()}
        except Exception as error:  # noqa: BLE001 - what cannot be judged is denied
            return rules[0].rule.name, f"the arguments cannot be judged: {error_text(error)}"
        for each in rules:
            rule = each.rule
            try:
                if each.holds(texts) and await self._is_forbidden(rule, tool, arguments):
                    return rule.name, rule.reason
            except BaseException as error:  # whatever the user's evaluator raises: fail closed
                if not is_failure(error):
                    raise
                return rule.name, f"the rule failed: {error_text(error)}"
            if not each.wanted <= arguments.keys():
                return rule.name, f"it looks at {quoted(each.wanted - arguments.keys())}, which the call leaves out"
        return None

    async def _is_forbidden(self, rule: SafetyRule, tool: str, arguments: dict[str, Any]) -> bool:
        if rule.evaluator is None:
            return True
        evaluate: Callable[..., object] = rule.evaluator.evaluate
        return bool(await bounded(evaluate, tool, arguments, limit_s=self._limit_s))


def _arguments(tool: Tool) -> frozenset[str]:
    return frozenset(tool.schema.parameters.get("properties", ()))


def _wanted(rule: SafetyRule, tool: Tool) -> frozenset[str]:
    """Return what a call must have for the rule to be judged; a rule for all tools passes by those it does not fit."""
    return rule.looks_at if rule.tool_names or rule.looks_at <= _arguments(tool) else frozenset()


def _check(rule: SafetyRule, tools: Mapping[str, Tool]) -> None:
    """Refuse a rule about a tool or argument that is not there: it would forbid nothing, and nobody would notice."""
    check_names(f'safety rule "{rule.name}" names the tool', rule.tool_names, tools)
    wanted = rule.looks_at
    known = {name: _arguments(tool) for name, tool in tools.items()}
    for name in known.keys() & set(rule.tool_names):
        for argument in sorted(wanted - known[name]):
            raise ConfigError(
                f'safety rule "{rule.name}" looks at the argument "{argument}" of tool "{name}", which has '
                f"{quoted(known[name])}.{did_you_mean(argument, known[name])}"
            )
    if tools and not rule.tool_names and (nowhere := wanted - set().union(*known.values())):
        raise ConfigError(f'safety rule "{rule.name}" looks at the argument {quoted(nowhere)}, which no tool has')
