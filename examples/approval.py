"""A tool that a person must allow. Run it: python examples/approval.py, or with "yes" or "no" as the answer."""

import asyncio
import sys

from loom import AgentConfig, Runtime, SqliteCheckpointer, create_agent, tool
from loom.config import SafetyRule
from loom.testing import ScriptedModel, call


@tool(requires_permission=True)
async def deploy(env: str, version: str = "latest") -> str:
    """Deploy a version to an environment."""
    return f"{version} is live in {env}"


# For a real model, with ANTHROPIC_API_KEY set: model = ModelRef.anthropic("claude-sonnet-4-5")
model = ScriptedModel(
    [
        [call("deploy", env="staging", version="1.4"), call("deploy", env="production")],
        lambda request: "Told: " + "; ".join(message.text for message in request.messages if message.role == "tool"),
    ]
)
never = SafetyRule.when_argument_equals(
    name="not_to_production", reason="nobody deploys there", tool_name="deploy", argument="env", value="production"
)


def said_by_a_person() -> str:
    """Return the answer of the command line, else of the terminal; where nobody is there, it is no."""
    if len(sys.argv) > 1:
        return sys.argv[1]
    return input("yes or no? ") if sys.stdin.isatty() else "no"


async def main() -> None:
    """Let the run pause, ask, and go on; between the two the process might end."""
    config = AgentConfig(model=model, tools=[deploy], safety_rules=[never])
    agent = create_agent(config, runtime=Runtime(checkpointer=SqliteCheckpointer("approval.db")))

    result = await agent.run("Deploy 1.4 to staging and to production")
    while result.state == "paused":
        answers: dict[str, bool] = {}
        for ask in result.asks:
            print(f"{ask.question} {ask.payload['arguments']}")
            answers[ask.id] = said_by_a_person() == "yes"
        result = await agent.resume(result.run_id, answers)
    print(result.output)


asyncio.run(main())
