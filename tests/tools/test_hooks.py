"""Tests of callbacks around tool calls."""

import asyncio
import enum
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from loom.errors import ConfigError
from loom.tools.hooks import Hook, HookManager
from loom.types.policy import HookDecision, HookOutcome

pytestmark = pytest.mark.anyio


class Word(enum.Enum):
    DENY = "deny"


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
        ([DENY, "no"], DENY, "no"),
        ((DENY, None), DENY, 'hook "hook" said deny'),
        ((False, "no"), DENY, "no"),
        ([False, "no"], DENY, "no"),
        (HookOutcome().model_copy(update={"decision": "deny"}), DENY, 'hook "hook" said deny'),
        ({"decision": "deny", "message": "no"}, DENY, "no"),
        ({"decision": ASK}, ASK, 'hook "hook" said ask'),
        ({"decision": False, "message": "no"}, DENY, "no"),
        ({}, ALLOW, ""),
        ({"arguments": {"a": 1}}, ALLOW, ""),
        (None, ALLOW, ""),
        (True, ALLOW, ""),
        (7, ALLOW, ""),
        (Counter[str](), ALLOW, ""),
        ((), ALLOW, ""),
        ([], ALLOW, ""),
        (False, DENY, 'hook "hook" said deny'),
        ((True, "fine"), ALLOW, "fine"),
        ((True, None), ALLOW, ""),
        ({"decision": True}, ALLOW, ""),
        ("DENY", DENY, 'hook "hook" said deny'),
        ("Allow", ALLOW, ""),
        (("Ask", "sure?"), ASK, "sure?"),
        ({"decision": "DENY"}, DENY, 'hook "hook" said deny'),
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
        ({"decison": "deny"}, 'has no setting "decison"'),
        ({"arguments": [1]}, "must be"),
        ({DENY: "no"}, "has no setting"),
        ((DENY, ValueError("no")), "must return a decision"),
        ((DENY, 403), "must return a decision"),
        ((ALLOW, ValueError("no")), "must return a decision"),
        ((DENY,), "must return a decision"),
        (("deny", "a", "b"), "must return a decision"),
        (("no", DENY), "must decide one of"),
        (([DENY, "no"], None), "must decide one of"),
        ([HookOutcome(decision=DENY)], "must return a decision"),
        ([1, 2], "must return a decision"),
        ({DENY}, "must return a decision"),
        (b"deny", "must return a decision"),
        (0, "must return a decision"),
        (Word.DENY, "must return a decision"),
        (PermissionError("no"), "must return a decision"),
        (HookOutcome, "must return a decision"),
        (HookOutcome.model_construct(decision="never"), "must decide one of"),
        (HookOutcome().model_copy(update={"arguments": [1]}), "must be"),
    ],
)
async def test_what_cannot_be_read_denies(said: Any, why: str) -> None:
    found = await outcome(lambda told: said)
    assert found.decision is DENY
    assert why in found.message


@pytest.mark.parametrize("said", [0, 0.0, object(), "logged", b"x", {1}, {"status": 200}, {2: 3}, ["a", "b", "c"]])
async def test_what_a_hook_after_a_call_returns_is_its_own_unless_it_is_a_decision(said: Any) -> None:
    assert await HookManager().outcome(lambda told: said, {}, must_decide=False) == HookOutcome()
    told = await HookManager().outcome(lambda told: (DENY, "too late"), {}, must_decide=False)
    assert (told.decision, told.message) == (DENY, "too late")


async def test_a_hook_that_yields_its_decision_is_not_read_as_one_that_allows() -> None:
    def hook(told: dict[str, Any]) -> Iterator[HookDecision]:
        yield DENY

    async def async_hook(told: dict[str, Any]) -> AsyncIterator[HookDecision]:
        yield DENY

    async def later(told: dict[str, Any]) -> HookDecision:
        return DENY

    async def latest(told: dict[str, Any]) -> Any:
        return asyncio.create_task(later(told))

    for each in (hook, async_hook, latest):
        assert (await outcome(each)).decision is DENY


async def test_a_hook_that_fails_or_hangs_denies_and_says_so() -> None:
    release = threading.Event()

    def fail(told: dict[str, Any]) -> None:
        raise KeyError("x")

    def leave(told: dict[str, Any]) -> None:
        sys.exit(3)

    async def give_up(told: dict[str, Any]) -> None:
        inner = asyncio.create_task(anyio.sleep_forever())
        inner.cancel()
        await inner

    def hang(told: dict[str, Any]) -> None:
        release.wait()

    async def hang_async(told: dict[str, Any]) -> None:
        await anyio.sleep_forever()

    for hook, why in (
        (fail, "hook \"fail\" failed: KeyError: 'x'"),
        (leave, 'hook "leave" failed: SystemExit: 3'),
        (give_up, 'hook "give_up" failed: CancelledError: '),
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
    with pytest.raises(ConfigError, match=r"HookManager\(limit_s=…\) must be more than 0 seconds; got str: '5'"):
        HookManager(limit_s="5")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be a function, got str"):
        hooks.register("after_tool_call", "print")  # type: ignore[arg-type]
