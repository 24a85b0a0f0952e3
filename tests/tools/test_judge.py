"""Tests of how a call is judged: in which order, and what wins."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel

from loom.tools.door import Door
from loom.tools.hooks import HookManager
from loom.tools.judge import canonical, digest_of
from loom.tools.tool import tool
from loom.types.decisions import Decision
from loom.types.messages import MALFORMED, ToolCall
from loom.types.models import ToolSchema
from loom.types.policy import (
    HookDecision,
    HookOutcome,
    PolicyConfig,
    SafetyEvaluator,
    SafetyRule,
    ToolAccessPolicy,
    ToolPolicy,
    ToolRateLimitPolicy,
)

pytestmark = pytest.mark.anyio


@tool
async def deploy(env: str, count: int = 1) -> str:
    return f"{env} {count}"


def before(*callbacks: Callable[[dict[str, Any]], Any]) -> HookManager:
    hooks = HookManager()
    for callback in callbacks:
        hooks.register("before_tool_call", callback)
    return hooks


def limited(limit: int) -> PolicyConfig:
    return PolicyConfig(tools=ToolPolicy(rate_limits=ToolRateLimitPolicy(max_calls_per_minute=limit)))


async def judged(door: Door, name: str = "deploy", run_id: str = "r1", **arguments: Any) -> Decision:
    return await door.judge(ToolCall(id="c1", name=name, arguments=arguments), run_id=run_id)


async def test_an_allowed_call_is_bound_to_its_tool_arguments_and_run() -> None:
    decision = await judged(Door([deploy]), env="x", count="2")
    text = '{"arguments":{"count":2,"env":"x"},"run_id":"r1","tool":"deploy"}'
    assert decision == Decision(
        call_id="c1",
        tool="deploy",
        outcome="allow",
        digest=hashlib.sha256(text.encode()).hexdigest(),
        arguments={"env": "x", "count": 2},
    )
    assert (await judged(Door([deploy]), env="x", run_id="r2")).digest != decision.digest


@pytest.mark.parametrize(
    ("name", "arguments", "by", "why"),
    [
        ("deplyo", {"env": "x"}, "lookup", 'there is no tool "deplyo"; there are "deploy". Did you mean "deploy"?'),
        ("deploy", {}, "arguments", 'its arguments do not fit: "env": Field required'),
        ("deploy", {"env": None}, "arguments", '"env": Input should be a valid string'),
        ("deploy", {"env": ["x"]}, "arguments", '"env": Input should be a valid string'),
        ("deploy", {"ENV": "x", "env": "x"}, "arguments", '"ENV": Extra inputs are not permitted'),
        ("deploy", {"env": "\ud800"}, "arguments", 'tool "deploy" was not called'),
    ],
)
async def test_a_call_that_cannot_be_made_is_denied_and_says_why(
    name: str, arguments: dict[str, Any], by: str, why: str
) -> None:
    decision = await judged(Door([deploy]), name, **arguments)
    assert (decision.outcome, decision.by) == ("deny", by)
    assert why in decision.reason


@pytest.mark.parametrize(
    "arguments",
    [
        {"env": "production"},
        {"env": "  PRODUCTION "},
        {"env": "pro\u200bduction"},
        {"env": "production", "count": 7},
        {},  # the default is filled in first
        {"env": {"name": ["Production"]}},
        {"env": ["staging", "production"]},
    ],
)
async def test_a_rule_sees_arguments_as_they_will_be_used(arguments: dict[str, Any]) -> None:
    @tool
    async def ship(env: Any = "production", count: int = 1) -> str:
        return ""

    rule = SafetyRule.when_argument_equals(
        name="no_prod", tool_name="ship", argument="env", value="production", reason="blocked"
    )
    decision = await judged(Door([ship], rules=[rule]), "ship", **arguments)
    assert (decision.outcome, decision.by, decision.rule) == ("deny", "rule", "no_prod")
    assert decision.reason == 'safety rule "no_prod": blocked'
    assert (await judged(Door([ship], rules=[rule]), "ship", env=None)).outcome == "allow"


def saying(said: str) -> Callable[[dict[str, Any]], Any]:
    """Return a hook that says one thing, or crashes."""

    def hook(told: dict[str, Any]) -> Any:
        if said == "crash":
            raise RuntimeError
        return None if said == "nothing" else HookDecision(said)

    return hook


@given(
    st.lists(st.sampled_from(["allow", "ask", "deny", "nothing", "crash"]), max_size=5), st.booleans(), st.booleans()
)
def test_a_deny_wins_over_an_ask_and_an_ask_over_an_allow_in_every_order(
    says: list[str], asks: bool, vetoed: bool
) -> None:
    hooks = [saying(said) for said in says]
    rules = [SafetyRule.block_tool(name="r", tool_names=["spy"], reason="")] if vetoed else []

    @tool(requires_permission=asks)
    async def spy() -> str:
        return ""

    decision = asyncio.run(judged(Door([spy], hooks=before(*hooks), rules=rules), "spy"))
    denied = vetoed or "deny" in says or "crash" in says
    assert decision.outcome == ("deny" if denied else "ask" if asks or "ask" in says else "allow")
    assert bool(decision.reason) == (decision.outcome != "allow")


@pytest.mark.parametrize("by", ["hook", "policy", "rule"])
async def test_whatever_denies_denies_though_all_others_allow(by: str) -> None:
    hooks = before(lambda told: HookDecision.DENY if by == "hook" else HookDecision.ALLOW)
    deny = ["deploy"] if by == "policy" else []
    policy = PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(allow=["deploy"], deny=deny)))
    rules = [SafetyRule.block_tool(name="r", tool_names=["deploy"], reason="")] if by == "rule" else []
    decision = await judged(Door([deploy], policy=policy, hooks=hooks, rules=rules), env="x")
    assert (decision.outcome, decision.by) == ("deny", by)


async def test_a_hook_that_changes_the_arguments_has_them_judged_anew_by_all() -> None:
    seen: list[Any] = []

    def watch(told: dict[str, Any]) -> Any:
        seen.append(told["arguments"]["env"])
        return HookDecision.DENY if told["arguments"]["env"] == "secret" else None

    def rewrite(told: dict[str, Any]) -> Any:
        return HookOutcome(arguments={**told["arguments"], "env": target})

    target = "staging"
    decision = await judged(Door([deploy], hooks=before(watch, rewrite)), env="x")
    assert (decision.outcome, decision.arguments) == ("allow", {"env": "staging", "count": 1})
    assert seen == ["x", "staging"]

    target = "secret"
    decision = await judged(Door([deploy], hooks=before(watch, rewrite)), env="x")
    assert (decision.outcome, decision.by, decision.rule) == ("deny", "hook", "watch")

    target = "Production"
    rule = SafetyRule(name="r", reason="no", arg_equals={"env": "production"})
    assert (await judged(Door([deploy], hooks=before(rewrite), rules=[rule]), env="x")).by == "rule"

    def unfit(told: dict[str, Any]) -> Any:
        return HookOutcome(arguments={"env": 1})

    assert (await judged(Door([deploy], hooks=before(unfit)), env="x")).by == "arguments"


async def test_what_a_hook_wants_and_cannot_be_saved_is_denied_and_the_decision_tells_what_was_judged_before() -> None:
    door = Door([deploy], hooks=before(lambda told: {"arguments": {"env": "caf\udce9"}}))
    decision = await judged(door, env="x")
    assert (decision.outcome, decision.by, decision.arguments) == ("deny", "arguments", {"env": "x", "count": 1})
    assert decision.digest == digest_of(canonical("deploy", {"env": "x", "count": 1}, "r1"))


async def test_hooks_that_never_agree_on_the_arguments_deny() -> None:
    def more(told: dict[str, Any]) -> Any:
        return {"arguments": {"env": told["arguments"]["env"] + "x"}}

    decision = await judged(Door([deploy], hooks=before(more)), env="")
    assert (decision.outcome, decision.by) == ("deny", "hook")
    assert "changed the arguments" in decision.reason


async def test_a_hook_is_told_what_hooks_before_it_add() -> None:
    told_last: dict[str, Any] = {}
    door = Door([deploy], hooks=before(lambda told: {"context_updates": {"user": "ann"}}, told_last.update))
    await judged(door, env="x")
    assert told_last == {
        "tool": "deploy",
        "arguments": {"env": "x", "count": 1},
        "call_id": "c1",
        "run_id": "r1",
        "user": "ann",
    }


async def test_the_rate_limit_is_never_exceeded_by_a_hundred_calls_at_once() -> None:
    door = Door([deploy], policy=limited(60), rules=[SafetyRule.custom(name="slow", reason="", evaluator=SLOW)])
    decisions = await asyncio.gather(*(judged(door, env=str(number)) for number in range(100)))
    assert [decision.outcome for decision in decisions].count("allow") == 60
    refused = [decision for decision in decisions if decision.outcome == "deny"]
    assert {(decision.by, decision.rule) for decision in refused} == {("rate_limit", "tools.rate_limits")}
    assert all("try again in" in decision.reason and 0 < (decision.retry_after_s or 0) <= 60 for decision in refused)


SLOW = SafetyEvaluator.callable(lambda name, arguments: False)


async def test_calls_that_are_denied_or_asked_about_take_no_place_in_the_rate_limit() -> None:
    @tool(requires_permission=True)
    async def push() -> str:
        return ""

    rule = SafetyRule(name="r", reason="no", arg_equals={"env": "bad"})
    door = Door([deploy, push], policy=limited(1), rules=[rule])
    for name, arguments in (("deploy", {"env": "bad"}), ("deploy", {}), ("nothing", {}), ("push", {})) * 3:
        assert (await judged(door, name, **arguments)).by != "rate_limit"
    assert (await judged(door, env="good")).outcome == "allow"
    assert (await judged(door, env="good")).by == "rate_limit"


class Gate:
    """A rule that forbids env="bad", and judges env=`held` only when it is opened."""

    def __init__(self, held: str = "") -> None:
        self.held = held
        self.seen: list[str] = []
        self.reached = threading.Event()
        self.opened = threading.Event()
        evaluator = SafetyEvaluator.callable(self.evaluate)
        self.rule = SafetyRule.custom(name="gate", reason="no", evaluator=evaluator)

    def evaluate(self, name: str, arguments: Mapping[str, Any]) -> bool:
        self.seen.append(arguments["env"])
        if arguments["env"] == self.held:
            self.reached.set()
            self.opened.wait(4)
        return bool(arguments["env"] == "bad")


@pytest.mark.parametrize(("env", "by"), [("bad", "rule"), ("late", "rate_limit")])
async def test_a_call_that_rules_still_judge_has_no_place_in_the_rate_limit(env: str, by: str) -> None:
    gate = Gate(env)
    door = Door([deploy], policy=limited(1), rules=[gate.rule])
    judging = asyncio.create_task(judged(door, env=env))
    assert await asyncio.to_thread(gate.reached.wait, 4)
    good = await judged(door, env="good")
    gate.opened.set()
    late = await judging
    assert (good.outcome, late.by) == ("allow", by)
    assert (late.retry_after_s is not None) == (by == "rate_limit")


async def test_a_call_whose_judging_is_given_up_takes_no_place_in_the_rate_limit() -> None:
    gate = Gate("slow")
    door = Door([deploy], policy=limited(1), rules=[gate.rule])
    judging = asyncio.create_task(judged(door, env="slow"))
    assert await asyncio.to_thread(gate.reached.wait, 4)
    judging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await judging
    gate.opened.set()
    assert (await judged(door, env="good")).outcome == "allow"


async def test_a_call_over_the_limit_is_denied_before_the_rules_are_asked() -> None:
    gate = Gate()
    door = Door([deploy], policy=limited(1), rules=[gate.rule])
    decisions = [await judged(door, env=env) for env in ("good", "bad")]
    assert [decision.by for decision in decisions] == ["", "rate_limit"]
    assert gate.seen == ["good"]


async def test_a_call_over_the_limit_is_denied_and_nobody_asked_though_no_rule_is_about_its_tool() -> None:
    @tool(requires_permission=True)
    async def push() -> str:
        return ""

    door = Door([deploy, push], policy=limited(1))
    decisions = [await judged(door, "push"), await judged(door, env="x"), await judged(door, "push")]
    assert [(decision.outcome, decision.by) for decision in decisions] == [
        ("ask", "policy"),
        ("allow", ""),
        ("deny", "rate_limit"),
    ]


async def test_the_window_slides_by_the_clock_that_was_given() -> None:
    now = 0.0
    door = Door([deploy], policy=limited(1), clock=lambda: now)
    assert (await judged(door, env="x")).outcome == "allow"
    now = 45.0
    assert (await judged(door, env="x")).retry_after_s == pytest.approx(15)
    now = 60.0
    assert (await judged(door, env="x")).outcome == "allow"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def as_json_writes(tool: str, arguments: dict[str, Any], run_id: str) -> bytes:
    call = {"arguments": arguments, "run_id": run_id, "tool": tool}
    text = json.dumps(call, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def outcome_of(write: Callable[..., bytes], *given: Any) -> bytes | str:
    try:
        return write(*given)
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"


@given(st.text(), st.dictionaries(st.text(), JSON), st.text())
@example("t", {"x": float("nan")}, "r")
@example("t", {"x": 10**5000}, "r")
@example("t", {"x": "\ud800"}, "r")
@example("t", {"x": object()}, "r")
@example("t", {"b": True, "a": None, "c": -0.0, "\u2028": '\x7f\x00"\\/é'}, "\n")
def test_the_canonical_json_of_a_call_is_what_json_writes(tool: str, arguments: dict[str, Any], run_id: str) -> None:
    assert outcome_of(canonical, tool, arguments, run_id) == outcome_of(as_json_writes, tool, arguments, run_id)


class Mode(Enum):
    FAST = "fast"


class Point(BaseModel):
    x: int


@pytest.mark.parametrize("argument", ["x", "ab", ""])
async def test_arguments_that_change_when_they_are_read_twice_are_denied(argument: str) -> None:
    @tool
    async def double(text: Annotated[str, AfterValidator(lambda text: text * 2)]) -> str:
        return text

    decision = await judged(Door([double]), "double", text=argument)
    assert decision.outcome == ("deny" if argument else "allow")
    assert decision.by == ("arguments" if argument else "")


async def test_arguments_of_a_hook_that_cannot_be_saved_are_denied() -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]

    @tool
    async def look(at: Any) -> str:
        return ""

    def deepen(told: dict[str, Any]) -> Any:
        return {"arguments": {"at": deep}}

    decision = await judged(Door([look], hooks=before(deepen)), "look", at=1)
    assert (decision.outcome, decision.by, decision.rule) == ("deny", "hook", "deepen")
    assert "JSON nested more than 150 deep" in decision.reason


def leave(text: str) -> str:
    raise SystemExit(text)


async def test_arguments_whose_validation_fails_in_its_own_way_are_denied() -> None:
    @tool
    async def look(text: Annotated[str, AfterValidator(leave)]) -> str:
        return text

    decision = await judged(Door([look]), "look", text="bad usage")
    assert (decision.outcome, decision.by) == ("deny", "arguments")
    assert decision.reason.endswith("cannot be judged: SystemExit: bad usage")


async def test_arguments_of_any_type_are_judged_as_the_json_they_are_saved_as() -> None:
    @tool
    async def plot(point: Point, mode: Mode = Mode.FAST, tags: frozenset[str] = frozenset()) -> str:
        return ""

    rule = SafetyRule(name="r", reason="no", arg_equals={"point": {"x": 3}})
    door = Door([plot], rules=[rule])
    decision = await judged(door, "plot", point={"x": "2"}, tags=["a"])
    assert decision.arguments == {"point": {"x": 2}, "mode": "fast", "tags": ["a"]}
    assert json.loads(decision.model_dump_json())["arguments"] == decision.arguments
    assert (await judged(door, "plot", point={"x": "3"})).by == "rule"


async def test_numbers_that_json_does_not_have_are_denied() -> None:
    @tool
    async def wait(seconds: float) -> str:
        return ""

    for seconds in (float("nan"), float("inf"), "NaN", "-Infinity"):
        assert (await judged(Door([wait]), "wait", seconds=seconds)).by == "arguments"


class Foreign:
    """A tool of somebody else's, which fills in a default that its schema tells."""

    name = "foreign"
    read_only = destructive = concurrency_safe = idempotent = requires_permission = False
    contexts = ()
    max_output_chars = 100
    effect = "write"

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = ToolSchema(name="foreign", parameters=schema)

    async def call(self, arguments: Mapping[str, Any]) -> str:
        return json.dumps(dict(arguments))


@pytest.mark.parametrize(
    ("arguments", "outcome", "by"),
    [
        ({"env": "x"}, "allow", ""),
        ({"env": "production"}, "deny", "rule"),
        ({"env": None}, "allow", ""),
        ({}, "deny", "arguments"),
        ({"env": "x", "other": 1}, "deny", "arguments"),
        ({"env": "x", "deep": object()}, "deny", "arguments"),
        ({"env": "x", "mode": "Secret"}, "deny", "rule"),
    ],
)
async def test_a_foreign_tools_arguments_are_held_against_its_schema(
    arguments: dict[str, Any], outcome: str, by: str
) -> None:
    foreign: Any = Foreign(
        {
            "type": "object",
            "properties": {"env": {"type": "string"}, "deep": {}, "mode": {"default": "fast"}},
            "required": ["env"],
            "additionalProperties": False,
        }
    )
    rules = [
        SafetyRule(name="a", reason="no", tool_names=["foreign"], arg_equals={"env": "production"}),
        SafetyRule(name="b", reason="no", tool_names=["foreign"], arg_equals={"mode": "secret"}),
    ]
    decision = await judged(Door([foreign], rules=rules), "foreign", **arguments)
    assert (decision.outcome, decision.by) == (outcome, by)
    if outcome == "allow":
        assert decision.arguments == {**arguments, "mode": "fast"}


async def test_arguments_that_are_no_json_object_are_denied_though_the_tool_would_take_any() -> None:
    foreign: Any = Foreign({"type": "object"})
    decision = await judged(Door([foreign]), "foreign", **{MALFORMED: '{"env": '})
    assert (decision.outcome, decision.by) == ("deny", "arguments")
    assert decision.reason == 'tool "foreign" was not called: its arguments are no JSON object: {"env": '


async def test_a_foreign_call_without_what_a_rule_looks_at_is_denied() -> None:
    foreign: Any = Foreign({"type": "object", "properties": {"env": {}}})
    rule = SafetyRule(name="a", reason="no", tool_names=["foreign"], arg_equals={"env": "production"})
    decision = await judged(Door([foreign], rules=[rule]), "foreign")
    assert decision.reason == 'safety rule "a": it looks at "env", which the call leaves out'


async def test_reasons_tell_no_secret() -> None:
    def refuse(told: dict[str, Any]) -> Any:
        return HookDecision.DENY, f"not with {told['arguments']['env']}"

    decision = await judged(Door([deploy], hooks=before(refuse), secrets=["sk-1"]), env="sk-1")
    assert decision.reason == "not with [redacted]"


async def test_a_reason_is_no_longer_than_a_person_reads() -> None:
    decision = await judged(Door([deploy], hooks=before(lambda told: (HookDecision.DENY, "x" * 10_000))), env="x")
    assert decision.reason == "x" * 2000 + " …"
