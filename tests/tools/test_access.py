"""Tests of what a policy says of a tool."""

from types import SimpleNamespace
from typing import Any

import pytest

from loom.errors import ConfigError
from loom.tools.access import access, check_names
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
    "said",
    [
        {"read_only": "no"},
        {"destructive": 0},
        {"requires_permission": None},
        {"contexts": "default, repo"},
        {"max_output_chars": "10"},
        {"effect": "none"},
    ],
)
def test_a_tool_that_says_what_cannot_be_read_is_denied(said: dict[str, Any]) -> None:
    odd: Any = SimpleNamespace(name="odd", **(FACTS | said))
    outcome, setting, why = access(policy(read_only_only=True), odd)
    assert (outcome, setting) == ("deny", "tool")
    assert 'tool "odd" says of itself what cannot be read' in why


def test_names_of_no_tool_are_refused_as_far_as_that_can_be_told() -> None:
    check_names("policy names", ["look", "mcp__git__push"], {"look"})
    check_names("policy names", ["anything"], {})
    with pytest.raises(
        ConfigError, match=r'policy names "lok", which is not there; there are "look". Did you mean "lo'
    ):
        check_names("policy names", ["look", "lok"], {"look"})
