"""Tests of callbacks around tool calls."""

import threading
from collections import Counter
from typing import Any

import anyio
import pytest

from loom.errors import ConfigError
from loom.tools.hooks import Hook, HookManager
from loom.types.policy import HookDecision, HookOutcome

pytestmark = pytest.mark.anyio

ALLOW, DENY, ASK = HookDecision.ALLOW, HookDecision.DENY, HookDecision.ASK


async def outcome(hook: Hook, told: dict[str, Any] | None = None) -> HookOutcome:
    return await HookManager(limit_s=0.2).outcome(hook, told or {})


@pytest.mark.parametrize(
    ("said", "decision", "message"),
    [
        (HookOutcome(decision=DENY, message="no"), DENY, "no"),
        (HookOutcome(), ALLOW, ""),
        (ASK, ASK, 'hook "hook" said ask'),
        (DENY, DENY, 'hook "hook" said deny'),
        ("deny", DENY, 'hook "hook" said deny'),
        ((DENY, "no"), DENY, "no"),
        (("ask", "sure?"), ASK, "sure?"),
        ((ALLOW, "fine"), ALLOW, "fine"),
        ({"decision": "deny", "message": "no"}, DENY, "no"),
        ({"decision": ASK}, ASK, 'hook "hook" said ask'),
        ({}, ALLOW, ""),
        ({"arguments": {"a": 1}}, ALLOW, ""),
        (None, ALLOW, ""),
        (True, ALLOW, ""),
        (7, ALLOW, ""),
        (Counter[str](), ALLOW, ""),
        ((), ALLOW, ""),
        ([1, 2], ALLOW, ""),
        (False, DENY, 'hook "hook" said deny'),
    ],
)
async def test_what_a_hook_returns_is_read_as_documented(said: Any, decision: HookDecision, message: str) -> None:
    def hook(told: dict[str, Any]) -> Any:
        return said

    async def async_hook(told: dict[str, Any]) -> Any:
        return said

    async_hook.__name__ = "hook"
    for each in (hook, async_hook):
        found = await outcome(each)
        assert (found.decision, found.message) == (decision, message)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("no", "must decide one of"),
        ((None, "no"), "must decide one of"),
        ({"decision": "never"}, "must decide one of"),
        ({"decison": "deny"}, "has no setting 'decison'"),
        ({"arguments": [1]}, "must be"),
    ],
)
async def test_what_looks_like_a_decision_and_cannot_be_read_denies(said: Any, why: str) -> None:
    found = await outcome(lambda told: said)
    assert found.decision is DENY
    assert why in found.message


async def test_a_hook_that_fails_or_hangs_denies_and_says_so() -> None:
    release = threading.Event()

    def fail(told: dict[str, Any]) -> None:
        raise KeyError("x")

    def hang(told: dict[str, Any]) -> None:
        release.wait()

    async def hang_async(told: dict[str, Any]) -> None:
        await anyio.sleep_forever()

    for hook, why in (
        (fail, "hook \"fail\" failed: KeyError: 'x'"),
        (hang, 'hook "hang" failed: OutOfTimeError: it took longer than 0.2 s'),
        (hang_async, 'hook "hang_async" failed: OutOfTimeError: it took longer than 0.2 s'),
    ):
        assert await outcome(hook) == HookOutcome(decision=DENY, message=why)
    release.set()


async def test_a_hook_sees_a_copy() -> None:
    told = {"arguments": {"list": [1]}}
    await outcome(lambda seen: seen["arguments"]["list"].append(2), told)
    assert told == {"arguments": {"list": [1]}}


def test_hooks_are_kept_in_their_order_and_events_have_names() -> None:
    hooks = HookManager()
    first: Hook = print
    second: Hook = repr
    hooks.register("before_tool_call", first)
    hooks.register("before_tool_call", second)
    assert hooks.of("before_tool_call") == (first, second)
    assert hooks.of("after_tool_call") == ()
    with pytest.raises(ConfigError, match=r'no hook event "before_tool"; there are .* Did you mean "before_tool_call"'):
        hooks.register("before_tool", first)
    with pytest.raises(ConfigError, match="must be a function, got str"):
        hooks.register("after_tool_call", "print")  # type: ignore[arg-type]
