"""Tests of the one door: no way leads to a tool but through it."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

import loom.tools
from loom.errors import (
    ConfigError,
    LoomError,
    ToolExecutionError,
    ToolNotFoundError,
    ToolPermissionError,
    VetoError,
)
from loom.tools.door import Door, as_door
from loom.tools.hooks import HookManager
from loom.tools.tool import ToolSpec, tool
from loom.types.content import ImageBlock, TextBlock
from loom.types.decisions import Decision
from loom.types.messages import ToolCall, ToolResult
from loom.types.models import ToolSchema
from loom.types.policy import HookDecision, PolicyConfig, SafetyRule, ToolAccessPolicy, ToolPolicy, ToolRateLimitPolicy
from loom.types.tools import Tool

pytestmark = pytest.mark.anyio

BLOCK = SafetyRule(name="no_prod", reason="blocked", arg_equals={"env": "production"})


class Spy:
    """A tool that notes what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

        @tool
        async def deploy(env: str, count: int = 1) -> str:
            self.calls.append((env, count))
            return f"deployed to {env}"

        self.tool: ToolSpec[..., Any] = deploy


def wanted(name: str = "deploy", call_id: str = "c1", **arguments: Any) -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


def limited(limit: int) -> PolicyConfig:
    return PolicyConfig(tools=ToolPolicy(rate_limits=ToolRateLimitPolicy(max_calls_per_minute=limit)))


def hooks_of(event: str, *callbacks: Callable[[dict[str, Any]], Any]) -> HookManager:
    hooks = HookManager()
    for callback in callbacks:
        hooks.register(event, callback)
    return hooks


async def test_a_call_goes_through_and_runs_what_was_judged() -> None:
    spy = Spy()
    door = Door([spy.tool])
    decision = await door.judge(wanted(env="x", count="2"), run_id="r")
    done = await door.run(decision, run_id="r")
    assert done.result == ToolResult(tool_call_id="c1", content="deployed to x")
    assert (done.kept, done.notes) == ({}, ())
    assert spy.calls == [("x", 2)]
    assert (await door.call("deploy", env="y")).content == "deployed to y"
    assert await door["deploy"].call({"env": "z"}) == "deployed to z"


def changed(decision: Decision, **update: Any) -> Decision:
    return decision.model_copy(update=update)


async def test_no_way_leads_to_a_tool_but_through_the_door() -> None:
    spy = Spy()
    door = Door([spy.tool], rules=[BLOCK])
    denied = await door.judge(wanted(env="production"), run_id="r")
    allowed = await door.judge(wanted(env="staging"), run_id="r")
    elsewhere = await Door([spy.tool]).judge(wanted(env="production"), run_id="r")

    ways: dict[str, Callable[[], Any]] = {
        "call": lambda: door.call("deploy", env="production"),
        "guarded tool": lambda: door["deploy"].call({"env": " PRODUCTION"}),
        "guarded tool by iteration": lambda: next(iter(door.values())).call({"env": "production"}),
        "as_door of a door": lambda: as_door(door).call("deploy", env="production"),
        "as_door of its tools": lambda: as_door(dict(door)).call("deploy", env="production"),
        "denied decision": lambda: door.run(denied, run_id="r"),
        "denied decision turned": lambda: door.run(changed(denied, outcome="allow"), run_id="r"),
        "denied decision turned into an ask": lambda: door.run(changed(denied, outcome="ask"), run_id="r"),
        "other arguments": lambda: door.run(changed(allowed, arguments={"env": "production", "count": 1}), run_id="r"),
        "a truth value for a number": lambda: door.run(
            changed(allowed, arguments={"env": "staging", "count": True}), run_id="r"
        ),
        "no JSON": lambda: door.run(changed(allowed, arguments={"env": object()}), run_id="r"),
        "other run": lambda: door.run(allowed, run_id="r2"),
        "other tool": lambda: door.run(changed(allowed, tool="delete"), run_id="r"),
        "another door's decision": lambda: door.run(elsewhere, run_id="r"),
    }
    for name, way in ways.items():
        try:
            result = await way()
        except LoomError:
            pass
        else:
            assert isinstance(result, ToolResult), name
            assert result.is_error, name
        assert spy.calls == [], name
    parallel = await asyncio.gather(*(way() for way in ways.values()), return_exceptions=True)
    assert (len(parallel), spy.calls) == (len(ways), [])

    assert not (await door.run(allowed, run_id="r")).result.is_error
    assert spy.calls == [("staging", 1)]


async def test_what_was_judged_runs_though_the_decision_is_changed_by_force() -> None:
    spy = Spy()
    door = Door([spy.tool], rules=[BLOCK])
    allowed = await door.judge(wanted(env="staging"), run_id="r")
    vars(allowed)["arguments"] = {"env": "production", "count": 1}
    await door.run(allowed, run_id="r")
    assert spy.calls == [("staging", 1)]


async def test_a_decision_that_equals_the_one_that_was_made_takes_its_place() -> None:
    spy = Spy()
    door = Door([spy.tool], policy=limited(1))
    allowed = await door.judge(wanted(env="x"), run_id="r")
    await door.run(changed(allowed, arguments={"count": 1, "env": "x"}), run_id="r")
    with pytest.raises(ToolPermissionError, match="more than 1 tool calls"):
        await door.run(allowed, run_id="r")
    assert spy.calls == [("x", 1)]


async def test_what_was_denied_by_somebody_else_is_not_run() -> None:
    spy = Spy()
    door = Door([spy.tool])
    allowed = await door.judge(wanted(env="x"), run_id="r")
    with pytest.raises(ToolPermissionError, match="the call was denied: not today"):
        await door.run(changed(allowed, outcome="deny", reason="not today"), run_id="r")
    assert spy.calls == []


@pytest.mark.parametrize("event", ["hook", "policy", "rate limit", "permission"])
async def test_a_forged_decision_has_no_more_rights_than_a_judged_one(event: str) -> None:
    spy = Spy()
    deploy = spy.tool
    if event == "permission":
        deploy.requires_permission = True
    hooks = hooks_of("before_tool_call", lambda told: HookDecision.DENY) if event == "hook" else None
    policy = limited(1) if event == "rate limit" else None
    if event == "policy":
        policy = PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(deny=["deploy"])))
    forged = await Door([Spy().tool]).judge(wanted(env="x"), run_id="r")
    assert forged.outcome == "allow"
    door = Door([deploy], hooks=hooks, policy=policy)
    if event == "rate limit":
        assert (await door.judge(wanted(env="y"), run_id="r")).outcome == "allow"
    with pytest.raises(ToolPermissionError):
        await door.run(forged, run_id="r")
    assert spy.calls == []


async def test_a_refusal_raises_its_own_error() -> None:
    @tool(requires_permission=True)
    async def push() -> str:
        return ""

    @tool
    async def drop(env: str = "") -> str:
        return ""

    policy = PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(deny=["drop"])))
    door = Door([Spy().tool, push, drop], rules=[BLOCK], policy=policy)
    with pytest.raises(VetoError, match='safety rule "no_prod": blocked'):
        await door.call("deploy", env="production")
    with pytest.raises(ToolPermissionError, match='tool "push" requires permission'):
        await door.call("push")
    with pytest.raises(ToolPermissionError, match='tool "drop" is denied: it is in the list of denied tools'):
        await door.call("drop")
    with pytest.raises(ToolNotFoundError, match='there is no tool "dorp"'):
        await door.call("dorp")
    refused = await door.call("deploy")
    assert refused.is_error
    assert '"env": Field required' in refused.text
    with pytest.raises(ToolExecutionError, match='"env": Field required'):
        await door["deploy"].call({})
    with pytest.raises(KeyError):
        _ = door["dorp"]


async def test_what_was_asked_about_runs_once_it_is_answered() -> None:
    spy = Spy()
    spy.tool.requires_permission = True
    now = 0.0
    door = Door([spy.tool], policy=limited(1), clock=lambda: now)
    first = await door.judge(wanted(env="a"), run_id="r")
    second = await door.judge(wanted(env="b"), run_id="r")
    assert [first.outcome, second.outcome] == ["ask", "ask"]
    now = 3600.0
    assert not (await door.run(first, run_id="r")).result.is_error
    with pytest.raises(ToolPermissionError, match=r"more than 1 tool calls in 60 s; try again in 60\.0 s"):
        await door.run(second, run_id="r")
    now = 3660.0
    assert not (await door.run(second, run_id="r")).result.is_error
    assert spy.calls == [("a", 1), ("b", 1)]


async def test_what_was_asked_about_is_judged_anew_before_it_runs() -> None:
    @tool(requires_permission=True)
    async def deploy(env: str) -> str:
        return env

    asked = await Door([deploy]).judge(wanted(env="production"), run_id="r")
    assert asked.outcome == "ask"
    with pytest.raises(ToolPermissionError, match="no_prod"):
        await Door([deploy], rules=[BLOCK]).run(asked, run_id="r")


async def test_every_attempt_counts_in_the_rate_limit() -> None:
    spy = Spy()
    door = Door([spy.tool], policy=limited(2), clock=lambda: 0.0)
    decision = await door.judge(wanted(env="x"), run_id="r")
    await door.run(decision, run_id="r")
    await door.run(decision, run_id="r")
    with pytest.raises(ToolPermissionError, match="more than 2 tool calls"):
        await door.run(decision, run_id="r")
    assert len(spy.calls) == 2


async def test_no_more_than_the_limit_run_though_many_were_allowed_long_ago() -> None:
    spy = Spy()
    now = 0.0
    door = Door([spy.tool], policy=limited(3), clock=lambda: now)
    early = [await door.judge(wanted(env=str(number)), run_id="r") for number in range(3)]
    now = 59.0
    for decision in early:
        await door.run(decision, run_id="r")
    now = 61.0
    late = await asyncio.gather(*(door.judge(wanted(env="late"), run_id="r") for _ in range(100)))
    assert {decision.by for decision in late} == {"rate_limit"}
    now = 119.0
    assert (await door.judge(wanted(env="late"), run_id="r")).outcome == "allow"


async def test_a_hundred_calls_at_once_never_exceed_the_limit() -> None:
    spy = Spy()
    door = Door([spy.tool], policy=limited(60))
    results = await asyncio.gather(*(door.call("deploy", env="x") for _ in range(100)), return_exceptions=True)
    assert len(spy.calls) == 60
    assert sum(isinstance(result, ToolPermissionError) for result in results) == 40


async def test_what_a_tool_cannot_do_is_a_result_that_is_an_error() -> None:
    @tool
    async def fail() -> str:
        raise RuntimeError("with sk-1")

    @tool
    async def error() -> str:
        return "Error: but this is just an answer"

    door = Door([fail, error], secrets=["sk-1"])
    failed = await door.call("fail")
    assert failed == ToolResult(
        tool_call_id="", content='tool "fail" failed: RuntimeError: with [redacted]', is_error=True
    )
    assert not (await door.call("error")).is_error


async def test_a_foreign_tool_that_fails_in_its_own_way_is_a_result_that_is_an_error() -> None:
    errors = [OSError("gone"), SystemExit(3), asyncio.CancelledError("mine"), KeyboardInterrupt()]

    class Foreign:
        name = "foreign"
        schema = ToolSchema(name="foreign")
        read_only = destructive = concurrency_safe = idempotent = requires_permission = False
        contexts = ()
        max_output_chars = 100
        effect = "read"

        async def call(self, arguments: Mapping[str, Any]) -> str:
            raise errors.pop(0)

    foreign: Any = Foreign()
    assert isinstance(foreign, Tool)
    for told in ("OSError: gone", "SystemExit: 3", "CancelledError: mine"):
        assert (await Door([foreign]).call("foreign")).content == f'tool "foreign" failed: {told}'
    with pytest.raises(KeyboardInterrupt):
        await Door([foreign]).call("foreign")


async def test_arguments_that_no_call_can_hold_are_a_result_that_is_an_error() -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    result = await Door([Spy().tool]).call("deploy", env=deep)
    assert result.is_error
    assert 'tool "deploy" was not called' in result.text
    assert "nested more than 150 deep" in result.text
    with pytest.raises(ToolNotFoundError):
        await Door([]).call("deploy", env=deep)


@pytest.mark.parametrize("given", [print, "deploy", None])
def test_what_is_no_tool_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="a tool is made by @tool"):
        Door([given])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tools": 3}, "Door(tools=…) must be a list of tools; got int: 3"),
        ({"policy": "strict"}, "Door(policy=…) must be PolicyConfig; got str: 'strict'"),
        ({"rules": BLOCK}, "Door(rules=…) must be a list of SafetyRule; got SafetyRule"),
        ({"rules": [BLOCK, "no_prod"]}, "Door(rules[1]=…) must be SafetyRule; got str: 'no_prod'"),
        ({"hooks": print}, "Door(hooks=…) must be HookManager; got builtin_function_or_method"),
        ({"secrets": "sk-1"}, "Door(secrets=…) must be a list of str; got str: 'sk-1'"),
        ({"secrets": [b"sk-1"]}, "Door(secrets[0]=…) must be str; got bytes"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"tools": [], **settings}
    with pytest.raises(ConfigError) as caught:
        Door(**given)
    assert str(caught.value).startswith(told)


def test_a_name_that_no_provider_takes_is_refused_of_any_tool() -> None:
    foreign: Any = SimpleNamespace(name="my tool!", schema=ToolSchema(name="my tool!"))
    with pytest.raises(ConfigError, match='tool "my tool!": its name must be a name that providers take'):
        Door([foreign])


async def test_a_model_is_shown_part_of_a_long_result_and_a_program_all_of_it() -> None:
    @tool(max_output_chars=10)
    async def long() -> str:
        return "sk-1" + "x" * 100

    door = Door([long], secrets=["sk-1"])
    done = await door.run(await door.judge(wanted("long"), run_id="r"), run_id="r")
    (ref,) = done.kept
    assert done.kept[ref] == "[redacted]" + "x" * 100
    assert f"kept as {ref}" in done.result.text
    assert done.result.text.startswith("[reda\n")
    assert (await door.call("long")).content == "[redacted]" + "x" * 100
    assert await door["long"].call({}) == "[redacted]" + "x" * 100


async def test_blocks_come_through_as_blocks() -> None:
    image = ImageBlock(source={"type": "url", "url": "https://example.com/x.png"})

    @tool(max_output_chars=3)
    async def look() -> list[TextBlock | ImageBlock]:
        return [TextBlock(text="see sk-1"), image]

    door = Door([look], secrets=["sk-1"])
    assert (await door.call("look")).content == (TextBlock(text="see [redacted]"), image)
    done = await door.run(await door.judge(wanted("look"), run_id="r"), run_id="r")
    assert list(done.kept.values()) == ["see [redacted]"]


async def test_hooks_see_what_came_of_a_call_and_cannot_undo_it() -> None:
    seen: list[dict[str, Any]] = []

    def fail(told: dict[str, Any]) -> None:
        raise KeyError("sk-1")

    spy = Spy()
    odd = iter((0, object()))

    def count(told: dict[str, Any]) -> object:
        return next(odd)

    hooks = hooks_of("after_tool_call", seen.append, fail, lambda told: (HookDecision.DENY, "too late"), count, count)
    door = Door([spy.tool], hooks=hooks, secrets=["sk-1"])
    done = await door.run(await door.judge(wanted(env="x"), run_id="r"), run_id="r")
    assert done.result == ToolResult(tool_call_id="c1", content="deployed to x")
    assert done.notes == ("hook \"fail\" failed: KeyError: '[redacted]'", "too late")
    arguments = {"env": "x", "count": 1}
    assert seen == [
        {"tool": "deploy", "arguments": arguments, "call_id": "c1", "run_id": "r", "result": done.result},
    ]


async def test_calls_run_side_by_side_and_a_plain_function_does_not_hold_up_the_loop() -> None:
    @tool(concurrency_safe=True)
    def slow() -> str:
        time.sleep(0.2)
        return threading.current_thread().name

    door = Door([slow])
    started = time.monotonic()
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(door.call, "slow")
    assert time.monotonic() - started < 0.5


def test_a_door_is_a_mapping_in_the_order_given() -> None:
    @tool
    async def a() -> str:
        """Do a."""
        return ""

    @tool(read_only=True, contexts=["x"], max_output_chars=5)
    async def b() -> str:
        return ""

    door = Door([b, a])
    assert list(door) == ["b", "a"]
    assert len(door) == 2
    assert [schema.name for schema in door.schemas()] == ["b", "a"]
    assert all(isinstance(guarded, Tool) for guarded in door.values())
    guarded = door["b"]
    assert repr(guarded) == "<guarded tool b>"
    for name in (
        "name",
        "schema",
        "read_only",
        "destructive",
        "concurrency_safe",
        "idempotent",
        "requires_permission",
        "contexts",
        "max_output_chars",
        "effect",
    ):
        assert getattr(guarded, name) == getattr(b, name)


def test_two_tools_of_one_name_and_names_of_no_tool_are_refused() -> None:
    deploy = Spy().tool
    with pytest.raises(ConfigError, match='two tools have the name "deploy"'):
        Door([deploy, Spy().tool])
    for setting in ("allow", "deny"):
        names: Any = {setting: ["Deploy"]}
        policy = PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(**names)))
        with pytest.raises(ConfigError, match=rf'ToolAccessPolicy\({setting}=…\) names the tool "Deploy"'):
            Door([deploy], policy=policy)
        Door([], policy=policy)


def test_a_mapping_becomes_a_door_and_a_door_stays_itself() -> None:
    deploy = Spy().tool
    door = as_door({"deploy": deploy})
    assert list(door) == ["deploy"]
    assert as_door(door) is door
    with pytest.raises(ConfigError, match='the tool under "ship" is called "deploy"'):
        as_door({"ship": deploy})


async def test_hooks_that_want_other_arguments_by_now_forbid_what_was_decided_before() -> None:
    spy = Spy()
    earlier = await Door([spy.tool]).judge(wanted(env="x"), run_id="r")
    hooks = hooks_of("before_tool_call", lambda told: {"arguments": {"env": "y"}})
    with pytest.raises(ToolPermissionError, match=r"the hooks now want other arguments"):
        await Door([spy.tool], hooks=hooks).run(earlier, run_id="r")
    assert spy.calls == []


async def test_a_call_that_the_hooks_want_otherwise_by_now_uses_up_no_place() -> None:
    spy = Spy()
    earlier = await Door([spy.tool]).judge(wanted(env="x"), run_id="r")
    hooks = hooks_of("before_tool_call", lambda told: {"arguments": {"env": "y"}})
    door = Door([spy.tool], hooks=hooks, policy=limited(1))
    for _ in range(2):
        with pytest.raises(ToolPermissionError, match="the hooks now want other arguments"):
            await door.run(earlier, run_id="r")
    assert (await door.call("deploy", env="x")).content == "deployed to y"


async def test_a_tool_may_change_what_it_is_given_without_changing_the_decision() -> None:
    @tool
    async def grow(items: list[Any], options: dict[str, Any]) -> str:
        items[0]["x"].append(1)
        options["y"]["z"] = 1
        return ""

    door = Door([grow])
    decision = await door.judge(wanted("grow", items=[{"x": []}], options={"y": {}}), run_id="r")
    assert not (await door.run(decision, run_id="r")).result.is_error
    assert decision.arguments == {"items": [{"x": []}], "options": {"y": {}}}


async def test_a_decision_that_was_saved_and_read_back_runs() -> None:
    spy = Spy()
    door = Door([spy.tool])
    decision = await door.judge(wanted(env="ü\u2028"), run_id="r")
    await Door([spy.tool]).run(Decision.model_validate_json(decision.model_dump_json()), run_id="r")
    assert spy.calls == [("ü\u2028", 1)]


def test_the_room_shows_its_names_on_first_use() -> None:
    assert {getattr(loom.tools, name).__name__ for name in loom.tools.__all__} == set(loom.tools.__all__)
    assert set(loom.tools.__all__) <= set(dir(loom.tools))
    with pytest.raises(AttributeError, match=r'module "loom\.tools" has no name "nothing"'):
        _ = loom.tools.nothing
