"""Tests of safety rules at the door."""

import sys
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from loom.errors import ConfigError
from loom.tools.rules import Rules
from loom.tools.tool import tool
from loom.types.policy import SafetyEvaluator, SafetyRule
from loom.types.tools import Tool

pytestmark = pytest.mark.anyio


@tool
def deploy(env: str, force: bool = False) -> str:
    return env


TOOLS: Mapping[str, Tool] = {"deploy": deploy}


def custom(judge: Any) -> SafetyRule:
    return SafetyRule.custom(name="mine", reason="no", evaluator=SafetyEvaluator.callable(judge))


async def veto(rule: SafetyRule, arguments: dict[str, Any]) -> tuple[str, str] | None:
    return await Rules([rule], TOOLS, limit_s=0.2).veto("deploy", arguments)


async def test_the_first_rule_that_holds_forbids() -> None:
    rules = [
        SafetyRule(name="other tool", reason="", tool_names=["deploy"], arg_equals={"env": "x"}),
        SafetyRule(name="empty", reason=""),
        SafetyRule(name="first", reason="not there", arg_equals={"env": "Production"}),
        SafetyRule.block_tool(name="second", tool_names=["deploy"], reason="never"),
    ]
    assert await Rules(rules, TOOLS).veto("deploy", {"env": " production"}) == ("first", "not there")
    assert await Rules(rules, TOOLS).veto("deploy", {"env": "staging"}) == ("second", "never")
    assert await Rules(rules[:3], TOOLS).veto("deploy", {"env": "staging"}) is None
    assert await Rules([], TOOLS).veto("deploy", {}) is None


def test_rules_concern_the_tools_that_they_name_or_all() -> None:
    tools = {**TOOLS, "push": tool(name="push")(deploy.fn)}
    named = SafetyRule.block_tool(name="named", tool_names=["push"], reason="")
    for_all = SafetyRule(name="all", reason="", arg_equals={"env": "x"})
    assert [Rules([named], tools).concern(name) for name in tools] == [False, True]
    assert [Rules([for_all], tools).concern(name) for name in tools] == [True, True]


async def test_an_evaluator_is_asked_only_where_the_other_conditions_hold() -> None:
    asked: list[dict[str, Any]] = []

    def judge(name: str, arguments: dict[str, Any]) -> bool:
        asked.append(arguments)
        return True

    rule = SafetyRule(name="r", reason="no", arg_equals={"env": "x"}, evaluator=SafetyEvaluator.callable(judge))
    assert await veto(rule, {"env": "y"}) is None
    assert asked == []
    assert await veto(rule, {"env": "x"}) == ("r", "no")
    assert asked == [{"env": "x"}]


async def test_a_rule_that_fails_hangs_or_says_neither_yes_nor_no_forbids() -> None:
    release = threading.Event()

    def fail(name: str, arguments: dict[str, Any]) -> bool:
        raise KeyError("x")

    def hang(name: str, arguments: dict[str, Any]) -> bool:
        return release.wait()

    def leave(name: str, arguments: dict[str, Any]) -> bool:
        sys.exit(3)

    def nothing(name: str, arguments: dict[str, Any]) -> None:
        pass

    assert await veto(custom(fail), {}) == ("mine", "the rule failed: KeyError: 'x'")
    assert await veto(custom(leave), {}) == ("mine", "the rule failed: SystemExit: 3")
    assert await veto(custom(hang), {}) == (
        "mine",
        "the rule failed: OutOfTimeError: it took longer than 0.2 s",
    )
    said = await veto(custom(nothing), {})
    assert said == ("mine", "the rule failed: TypeError: the evaluator must give True or False, got NoneType")
    release.set()


async def test_a_call_that_leaves_out_what_a_rule_about_the_tool_looks_at_is_forbidden() -> None:
    about = SafetyRule(name="r", reason="no", tool_names=["deploy"], arg_equals={"env": "x"})
    assert await veto(about, {}) == ("r", 'it looks at "env", which the call leaves out')
    everywhere = SafetyRule(name="r", reason="no", arg_equals={"env": "x"})
    assert await veto(everywhere, {}) == ("r", 'it looks at "env", which the call leaves out')


async def test_a_rule_for_all_tools_passes_by_those_that_do_not_have_its_argument() -> None:
    @tool
    def look(place: str) -> str:
        return place

    rules = Rules([SafetyRule(name="r", reason="no", arg_equals={"env": "x"})], {**TOOLS, "look": look})
    assert await rules.veto("look", {"place": "x"}) is None


async def test_what_cannot_be_folded_is_forbidden() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    name, why = await veto(SafetyRule(name="r", reason="no", arg_equals={"env": "x"}), {"env": deep}) or ("", "")
    assert (name, "cannot be judged: RecursionError" in why) == ("r", True)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            SafetyRule.when_argument_equals(name="r", tool_name="deploy", argument="enx", value=1, reason=""),
            'of tool "deploy", which has "env", "force". Did you mean "env"?',
        ),
        (
            SafetyRule(name="r", reason="", arg_prefixes={"target": "x"}),
            'safety rule "r" looks at the argument "target", which no tool has',
        ),
        (
            SafetyRule.block_tool(name="r", tool_names=["deplot"], reason=""),
            'safety rule "r" names the tool "deplot", which is not there; there are "deploy". Did you mean "deploy"?',
        ),
    ],
)
def test_a_rule_about_what_is_not_there_is_refused(rule: SafetyRule, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rules([rule], TOOLS)
    assert told in str(caught.value)


def test_rules_may_name_tools_of_servers_that_connect_later_and_anything_where_there_are_no_tools() -> None:
    later = SafetyRule.when_argument_equals(name="r", tool_name="mcp__git__push", argument="b", value=1, reason="")
    Rules([later], TOOLS)
    Rules([SafetyRule.block_tool(name="r", tool_names=["deploy"], reason="")], {})
