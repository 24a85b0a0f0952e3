"""The samples of the product's README, as they stand there.

What is put in: a scripted model where a key would be needed, names that the text leaves out, and a `def` around each.
"""

import json
from collections.abc import Sequence

import pytest

from loom import Agent, KnowledgeDocument, KnowledgeSource, Runtime
from loom.config import RuntimeLimits, SafetyRule
from loom.context.manager import ContextManager
from loom.runtime import RunState
from loom.testing import ScriptedModel, call
from loom.types import Event, Message
from loom.types.models import Model

pytestmark = pytest.mark.anyio


class Bus:
    """What an event bus does: it takes events."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def publish(self, event: Event) -> None:
        self.topics.append(event.type)


def an_agent(replies: Sequence[str], sources: Sequence[KnowledgeSource] = ()) -> Agent:
    from loom import AgentConfig, create_agent

    return create_agent(AgentConfig(model=ScriptedModel(replies), knowledge=list(sources)))


def quick_start(model: Model) -> list[object]:
    import asyncio

    from loom import (
        AgentConfig,
        GenerationConfig,
        ModelRef,
        create_agent,
        tool,
    )
    from loom.config import (
        MemoryBackend,
        MemoryConfig,
        PolicyConfig,
        PolicyContext,
        RuntimeConfig,
        RuntimeFeatures,
        RuntimeLimits,
        ToolAccessPolicy,
        ToolPolicy,
        ToolRateLimitPolicy,
    )

    printed: list[object] = []

    @tool(description="Search documentation", read_only=True)
    async def search_docs(query: str) -> str:
        return f"Results for: {query}"

    async def main() -> None:
        agent = create_agent(
            AgentConfig(
                model=ModelRef.anthropic("claude-sonnet-4"),
                instructions="You are a concise coding assistant",
                tools=[search_docs],
                policy=PolicyConfig(
                    tools=ToolPolicy(
                        access=ToolAccessPolicy(
                            allow=["search_docs"],
                            read_only_only=True,
                        ),
                        rate_limits=ToolRateLimitPolicy(max_calls_per_minute=60),
                    ),
                    context=PolicyContext.named("repo"),
                ),
                memory=MemoryConfig(backend=MemoryBackend.in_memory()),
                generation=GenerationConfig(max_output_tokens=512),
                runtime=RuntimeConfig(
                    limits=RuntimeLimits(max_iterations=32),
                    features=RuntimeFeatures(enable_safety=True),
                ),
            ),
            runtime=Runtime(models=model),
        )
        result = await agent.run("Summarize this repository")
        printed.append(result.output)

    asyncio.run(main())
    return printed


def test_the_quick_start() -> None:
    model = ScriptedModel([call("search_docs", query="loom"), "A library for agents"])
    assert quick_start(model) == ["A library for agents"]
    assert model.requests[0].max_output_tokens == 512
    assert model.requests[1].messages[-1].text == "Results for: loom"


async def test_sessions() -> None:
    agent = an_agent(["Small, exact, honest", "It is small"])
    from loom import RunContext, SessionConfig

    session = agent.session(SessionConfig(id="demo-user"))
    first = await session.run("List three qualities of a good API")
    second = await session.run(
        "Summarize the previous answer in one sentence",
        context=RunContext(inputs={"previous_answer": first.output}),
    )
    assert second.output == "It is small"


async def test_knowledge_evidence() -> None:
    source = KnowledgeSource.inline("rules", [KnowledgeDocument(content="Production deployment needs an approval.")])
    agent = an_agent(["With an approval"], [source])
    from loom import KnowledgeQuery, RunContext

    knowledge = agent.resolve_knowledge(
        KnowledgeQuery(
            text="What are the production deployment rules?",
            goal="Summarize deployment policy",
            top_k=3,
        )
    )
    result = await agent.run(
        "Summarize deployment policy",
        context=RunContext(knowledge=knowledge),
    )
    assert result.output == "With an approval"
    assert [item.content for item in knowledge.items] == ["Production deployment needs an approval."]


async def test_streaming_events_and_artifacts() -> None:
    agent = an_agent(["src and tests"])
    printed: list[tuple[object, ...]] = []
    from loom import SessionConfig

    run = agent.session(SessionConfig(id="stream-demo")).start("Inspect the project layout")
    async for event in run.events():
        printed.append((event.type, event.payload))  # noqa: PERF401 - as it stands there
    result = await run.wait()
    artifacts = await run.artifacts()
    assert (printed[0][0], printed[-1][0]) == ("run.started", "run.completed")
    assert (result.state, [artifact.content for artifact in artifacts]) == (RunState.COMPLETED, ["src and tests"])


def test_context_reset_with_structured_handoff() -> None:
    context_manager = ContextManager(max_tokens=2000, goal="Port the parser")
    context_manager.extend([Message(role="user", content="Begin"), Message(role="assistant", content="x" * 9000)])
    assert context_manager.rho >= 1
    context_manager.renew()
    from loom.types import HandoffArtifact

    handoff = context_manager.last_handoff
    assert handoff is not None
    assert isinstance(handoff, HandoffArtifact)
    printed = (handoff.goal, handoff.sprint, handoff.progress_summary, handoff.open_tasks)
    system_msg = handoff.to_system_prompt()
    assert printed[:2] == ("Port the parser", 1)
    assert system_msg.startswith("# Handoff Document (Sprint 1)")
    assert context_manager.rho < 1


def criteria(*texts: str) -> str:
    return json.dumps({"criteria": list(texts)})


def verdict(*, passed: bool, critique: str) -> str:
    return json.dumps({"verdicts": [{"id": "c1", "passed": passed, "evidence": "seen"}], "critique": critique})


async def test_generator_evaluator_loop() -> None:
    gen_manager = an_agent(["def register(): ...", "def register(): return 201"])
    eval_manager = an_agent(
        [
            criteria("POST /register returns 201"),
            verdict(passed=False, critique="it returns nothing"),
            criteria("POST /register returns 201"),
            verdict(passed=True, critique=""),
        ]
    )
    bus, printed = Bus(), list[str]()
    from loom.orchestration import GeneratorEvaluatorLoop

    loop = GeneratorEvaluatorLoop(
        generator=gen_manager,
        evaluator=eval_manager,
        event_bus=bus,  # optional: publishes sprint.passed / sprint.failed
    )
    results = await loop.run("Build a REST API for user authentication", max_sprints=5)
    for r in results:
        printed.append(f"Sprint {r.sprint}: {'PASS' if r.passed else 'FAIL'}")
        printed.append(f"  Criteria: {r.contract.criteria}")
        printed.append(f"  Critique: {r.critique}")
    assert [printed[0], printed[3]] == ["Sprint 1: FAIL", "Sprint 2: PASS"]
    assert "it returns nothing" in printed[2]
    assert bus.topics == ["sprint.failed", "sprint.passed"]


def test_sprint_contract() -> None:
    from loom.orchestration import SprintContract

    contract = SprintContract(
        sprint=1,
        goal="Build a REST API for user auth",
        criteria=[  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            "POST /register returns 201 with a user ID",
            "POST /login returns a signed JWT on success",
            "Invalid credentials return 401, not 500",
        ],
        eval_tools=["pytest", "httpx"],  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    )
    assert (contract.sprint, len(contract.criteria)) == (1, 3)


async def test_agent_harness() -> None:
    gen_manager, plan_manager = an_agent(["import csv, json"]), an_agent(["1. Read rows. 2. Write objects."])
    eval_manager = an_agent([criteria("It streams"), verdict(passed=True, critique="good")])
    bus = Bus()
    from loom.orchestration import AgentHarness, HarnessResult

    harness = AgentHarness(
        generator=gen_manager,
        evaluator=eval_manager,  # omit for single-shot mode
        planner=plan_manager,  # omit to skip spec expansion
        max_sprints=5,
        event_bus=bus,
    )
    result: HarnessResult = await harness.run("Build a CLI tool that converts CSV to JSON with streaming support")
    assert "Read rows" in result.spec
    assert (result.output, result.passed, result.sprints) == ("import csv, json", True, 1)
    assert isinstance(result.critique, str)
    assert len(result.sprint_results) == 1


def configured(model: Model) -> Agent:
    from loom import AgentConfig, ModelRef, create_agent
    from loom.config import (
        MemoryBackend,
        MemoryConfig,
        PolicyConfig,
        PolicyContext,
        RuntimeConfig,
        ToolAccessPolicy,
        ToolPolicy,
        ToolRateLimitPolicy,
    )

    return create_agent(
        AgentConfig(
            model=ModelRef.anthropic("claude-sonnet-4"),
            instructions="You are a deployment assistant",
            knowledge=[
                KnowledgeSource.inline(
                    "deployment-docs",
                    [
                        KnowledgeDocument(content="Staging deploys are automatic.", title="Staging"),
                        KnowledgeDocument(content="Production deploys require approval.", title="Production"),
                    ],
                    description="Internal deployment notes",
                )
            ],
            policy=PolicyConfig(
                context=PolicyContext.named("deployment"),
                tools=ToolPolicy(
                    access=ToolAccessPolicy(allow=["deploy"]),
                    rate_limits=ToolRateLimitPolicy(max_calls_per_minute=10),
                ),
            ),
            memory=MemoryConfig(backend=MemoryBackend.in_memory()),
            runtime=RuntimeConfig(
                limits=RuntimeLimits(max_iterations=24, max_context_tokens=120000),
            ),
            safety_rules=[
                SafetyRule.when_argument_equals(
                    name="no_prod_deploy",
                    reason="Production deployment is blocked",
                    tool_name="deploy",
                    argument="env",
                    value="production",
                )
            ],
        ),
        runtime=Runtime(models=model),
    )


async def test_extensible_configuration() -> None:
    from loom import KnowledgeQuery

    agent = configured(ScriptedModel(["Ready"]))
    assert (await agent.run("Are you there?")).output == "Ready"
    found = agent.resolve_knowledge(KnowledgeQuery(text="production deploys"))
    assert found.citations[0].title == "Production"


def test_the_import_rule() -> None:
    from loom import (
        AgentConfig,
        GenerationConfig,
        KnowledgeQuery,
        ModelRef,
        RunContext,
        SessionConfig,
        create_agent,
        tool,
    )
    from loom.config import MemoryConfig
    from loom.runtime import Run, RunResult, RunState, Session

    names = (AgentConfig, GenerationConfig, KnowledgeQuery, ModelRef, RunContext, SessionConfig, create_agent, tool)
    assert all((*names, MemoryConfig, Run, RunResult, RunState, Session))


def test_the_errors_are_a_tree() -> None:
    from loom import (
        ContextError,
        ContextOverflowError,
        ProviderError,
        ProviderUnavailableError,
        RateLimitError,
        ToolError,
        ToolExecutionError,
        ToolNotFoundError,
        ToolPermissionError,
    )

    assert issubclass(ProviderUnavailableError, ProviderError)
    assert issubclass(RateLimitError, ProviderError)
    assert all(issubclass(one, ToolError) for one in (ToolNotFoundError, ToolPermissionError, ToolExecutionError))
    assert issubclass(ContextOverflowError, ContextError)
