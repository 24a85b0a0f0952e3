"""Tests of policies, safety rules and what hooks say."""

from typing import Any

import pytest
from pydantic import JsonValue

from loom.errors import ConfigError
from loom.types.policy import (
    HookDecision,
    HookOutcome,
    PolicyConfig,
    PolicyContext,
    SafetyEvaluator,
    SafetyRule,
    ToolAccessPolicy,
    ToolPolicy,
    ToolRateLimitPolicy,
)

# What a caller who checks no types may pass.
ANY: dict[str, Any] = {"text": "deploy", "mapping": {"allow": []}, "unknown": {"tool": ToolPolicy()}}


def equals(value: JsonValue) -> SafetyRule:
    return SafetyRule.when_argument_equals(name="r", tool_name="deploy", argument="env", value=value, reason="no")


def test_a_policy_has_the_documented_defaults() -> None:
    policy = PolicyConfig()
    assert policy.tools.access == ToolAccessPolicy(allow=[], deny=[], read_only_only=False, allow_destructive=False)
    assert policy.tools.rate_limits.max_calls_per_minute == 60
    assert policy.context == PolicyContext.default() == PolicyContext.named("default")
    assert HookOutcome() == HookOutcome(decision=HookDecision.ALLOW, message="")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: ToolRateLimitPolicy(max_calls_per_minute=0), r"ToolRateLimitPolicy\(max_calls_per_minute=…\)"),
        (lambda: ToolAccessPolicy(allow=ANY["text"]), r"ToolAccessPolicy\(allow=…\) must be list, got str"),
        (lambda: ToolPolicy(access=ANY["mapping"]), r"ToolPolicy\(access=…\) must be ToolAccessPolicy, got a mapping"),
        (lambda: PolicyConfig(**ANY["unknown"]), 'PolicyConfig has no setting "tool"'),
        (lambda: PolicyContext.named(""), r"PolicyContext\(name=…\)"),
        (lambda: SafetyRule(name="", reason="x"), r"SafetyRule\(name=…\)"),
        (lambda: SafetyRule(name="r", reason="x", arg_prefixes={"a": " "}), '"r" looks for an empty text'),
        (lambda: SafetyRule(name="r", reason="x", arg_contains_any={"a": ["b", ""]}), '"r" looks for an empty text'),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_by_name(make: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()


@pytest.mark.parametrize("value", ["production", "Production", " production ", "PRODUCTION\u200b", "\uff50roduction"])
def test_a_text_matches_in_any_case_padded_and_nested(value: str) -> None:
    nested: list[Any] = [value, [value], {"x": value}, [{"x": ["y", value]}]]
    for env in nested:
        assert equals("production").matches("deploy", {"env": env})
    assert equals(f"  {value}").matches("deploy", {"env": "production"})


@pytest.mark.parametrize(
    ("wanted", "given", "matches"),
    [
        ("production", {}, False),
        ("production", {"env": None}, False),
        ("production", {"env": "preproduction"}, False),
        ("production", {"env": {"production": 1}}, False),
        ("production", {"Env": "production"}, False),
        (None, {"env": None}, True),
        (None, {"env": [None]}, True),
        (None, {"env": ""}, False),
        ("", {"env": "  "}, True),
        (1, {"env": True}, False),
        (1, {"env": "1"}, True),
        (1.0, {"env": 1}, True),
        (["a", "B"], {"env": ["A", " b "]}, True),
        (["a"], {"env": ["a", "b"]}, False),
        ({"a": "X"}, {"env": [{"a": "x"}]}, True),
    ],
)
def test_what_an_argument_must_equal_is_decided_as_documented(
    wanted: JsonValue, given: dict[str, Any], matches: bool
) -> None:
    assert equals(wanted).matches("deploy", given) is matches


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("/etc/passwd", True),
        ("  /ETC/passwd", True),
        (["/tmp", {"p": "/etc"}], True),
        ("/home/etc", False),
        (None, False),
        ({"/etc": 1}, False),
    ],
)
def test_what_an_argument_begins_with_is_decided_as_documented(path: JsonValue, matches: bool) -> None:
    rule = SafetyRule.when_argument_startswith(name="r", tool_name="read", argument="p", prefix="/etc", reason="no")
    assert rule.matches("read", {"p": path}) is matches


@pytest.mark.parametrize(
    ("command", "matches"),
    [
        ("sudo rm -rf /", True),
        ("RM -RF /", True),
        (["ls", "dd if=x"], True),
        ("ls", False),
        (None, False),
        ("r m -rf", False),
    ],
)
def test_one_of_the_contained_texts_is_enough(command: JsonValue, matches: bool) -> None:
    rule = SafetyRule.when_argument_contains_any(
        name="r", tool_name="sh", argument="c", values=["rm -rf", "dd "], reason="no"
    )
    assert rule.matches("sh", {"c": command}) is matches


@pytest.mark.parametrize(("number", "matches"), [(8080, True), (180, False), ("80a", True), (True, False)])
def test_numbers_are_looked_at_as_json_writes_them(number: JsonValue, matches: bool) -> None:
    rule = SafetyRule(name="r", reason="no", arg_prefixes={"port": "80"})
    assert rule.matches("listen", {"port": number}) is matches


def test_all_conditions_must_hold() -> None:
    rule = SafetyRule(name="r", reason="no", tool_names=["t"], arg_equals={"a": 1}, arg_prefixes={"b": "x"})
    assert rule.matches("t", {"a": 1, "b": "xy"})
    assert not rule.matches("t", {"a": 1, "b": "y"})
    assert not rule.matches("t", {"a": 2, "b": "xy"})
    assert not rule.matches("u", {"a": 1, "b": "xy"})


def test_a_rule_without_any_condition_never_matches() -> None:
    assert not SafetyRule(name="r", reason="no").matches("t", {"a": 1})


def test_a_blocked_tool_is_matched_whatever_its_arguments() -> None:
    rule = SafetyRule.block_tool(name="r", tool_names=["a", "b"], reason="no")
    assert [rule.matches(name, {}) for name in ("a", "b", "c")] == [True, True, False]


def test_an_evaluator_decides_on_a_copy_of_the_arguments() -> None:
    def spoil(tool_name: str, arguments: dict[str, Any]) -> bool:
        arguments["list"].append(tool_name)
        return len(arguments["list"]) > 1

    rule = SafetyRule.custom(name="r", reason="no", evaluator=SafetyEvaluator.callable(spoil), tool_names=["t"])
    arguments: dict[str, Any] = {"list": [1]}
    assert rule.matches("t", arguments)
    assert not rule.matches("u", arguments)
    assert arguments == {"list": [1]}


def test_an_evaluator_must_say_true_or_false() -> None:
    evaluator = SafetyEvaluator.callable(lambda tool, arguments: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="must give True or False, got NoneType"):
        evaluator.evaluate("t", {})

    async def later(tool: str, arguments: dict[str, Any]) -> bool:
        return True

    with pytest.raises(ConfigError, match="must have a plain function"):
        SafetyEvaluator.callable(later)  # type: ignore[arg-type]
