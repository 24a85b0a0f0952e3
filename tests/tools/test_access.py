"""Tests of what a policy says of a tool."""

from types import SimpleNamespace
from typing import Any

import pytest

from loom.errors import ConfigError
from loom.tools.access import access, check_names
from loom.tools.door import Door
from loom.tools.tool import tool
from loom.types.policy import PolicyConfig, PolicyContext, ToolAccessPolicy, ToolPolicy
from loom.types.tools import Tool


@tool(read_only=True)
def look() -> str:
    return ""


@tool
def change() -> str:
    return ""


@tool(destructive=True)
def drop() -> str:
    return ""


@tool(destructive=True, requires_permission=False)
def drop_at_will() -> str:
    return ""


@tool(contexts=["repo", "home"])
def build() -> str:
    return ""


def policy(context: str = "default", **rules: Any) -> PolicyConfig:
    return PolicyConfig(
        tools=ToolPolicy(access=ToolAccessPolicy(**rules)),
        context=PolicyContext.named(context),
    )


@pytest.mark.parametrize(
    ("asked", "rules", "outcome", "setting"),
    [
        (look, policy(), "allow", ""),
        (change, policy(), "allow", ""),
        (drop, policy(), "deny", "tools.access.allow_destructive"),
        (drop, policy(allow_destructive=True), "ask", "requires_permission"),
        (drop_at_will, policy(), "deny", "tools.access.allow_destructive"),
        (drop_at_will, policy(allow_destructive=True), "allow", ""),
        (look, policy(read_only_only=True), "allow", ""),
        (change, policy(read_only_only=True), "deny", "tools.access.read_only_only"),
        (look, policy(allow=["look"]), "allow", ""),
        (look, policy(allow=["change"]), "deny", "tools.access.allow"),
        (look, policy(deny=["look"]), "deny", "tools.access.deny"),
        (look, policy(allow=["look"], deny=["look"]), "deny", "tools.access.deny"),
        (drop, policy(allow=["drop"]), "deny", "tools.access.allow_destructive"),
        (build, policy(), "deny", "context"),
        (build, policy(context="repo"), "allow", ""),
        (look, policy(context="repo"), "allow", ""),
    ],
)
def test_a_policy_decides_as_documented(asked: Tool, rules: PolicyConfig, outcome: str, setting: str) -> None:
    verdict = access(rules, asked)
    assert verdict[:2] == (outcome, setting)
    assert bool(verdict[2]) == (outcome != "allow")


FACTS: dict[str, Any] = {
    "read_only": True,
    "destructive": False,
    "concurrency_safe": False,
    "idempotent": False,
    "requires_permission": False,
    "contexts": (),
    "max_output_chars": 10,
    "effect": "read",
}


@pytest.mark.parametrize("lacking", sorted(FACTS))
def test_a_tool_that_does_not_say_what_it_does_is_denied(lacking: str) -> None:
    whole: Any = SimpleNamespace(name="bare", **FACTS)
    assert access(policy(), whole) == ("allow", "", "")
    delattr(whole, lacking)
    outcome, _, why = access(policy(allow_destructive=True), whole)
    assert outcome == "deny"
    assert 'tool "bare" does not say what it does' in why
    assert lacking in why


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"read_only": "no"}, "read_only must be True or False; got str: 'no'"),
        ({"read_only": 1}, "read_only must be True or False; got int: 1"),
        ({"destructive": 0}, "destructive must be True or False; got int: 0"),
        ({"requires_permission": None}, "requires_permission must be True or False; got NoneType: None"),
        ({"contexts": "default, repo"}, "contexts must be a list of texts, as in .*; got str: 'default, repo'"),
        ({"max_output_chars": None}, "max_output_chars must be a whole number of at least 1; got NoneType: None"),
        ({"max_output_chars": float("inf")}, "max_output_chars must be a whole number of at least 1; got float: inf"),
        ({"max_output_chars": 1e3}, "max_output_chars must be a whole number of at least 1; got float: 1000.0"),
        ({"effect": "pure"}, """effect must be one of "read", "write"; got str: 'pure'"""),
        ({"effect": ["read"]}, "effect must be one of"),
    ],
    ids=repr,
)
def test_a_tool_that_says_what_cannot_be_read_is_refused_where_it_is_given(said: dict[str, Any], told: str) -> None:
    odd: Any = SimpleNamespace(name="odd", **(FACTS | said))
    with pytest.raises(ConfigError, match=f'tool "odd": its {told}'):
        access(policy(), odd)
    with pytest.raises(ConfigError, match=f'tool "odd": its {told}'):
        Door([odd])


def test_a_tool_without_contexts_may_be_used_in_all() -> None:
    everywhere: Any = SimpleNamespace(name="everywhere", **(FACTS | {"contexts": None}))
    assert access(policy(context="repo"), everywhere) == ("allow", "", "")


def test_names_of_no_tool_are_refused_as_far_as_that_can_be_told() -> None:
    check_names("policy names", ["look", "mcp__git__push"], {"look"})
    check_names("policy names", ["anything"], {})
    with pytest.raises(
        ConfigError, match=r'policy names "lok", which is not there; there are "look". Did you mean "lo'
    ):
        check_names("policy names", ["look", "lok"], {"look"})
