"""An agent with a tool. Run it: python examples/quick_start.py"""

import asyncio

from loom import AgentConfig, create_agent, tool
from loom.config import PolicyConfig, ToolAccessPolicy, ToolPolicy
from loom.testing import ScriptedModel, call

# A script stands in for the model, so that this runs without a key.
# For a real model, with ANTHROPIC_API_KEY set: model = ModelRef.anthropic("claude-sonnet-4-5")
model = ScriptedModel([call("search_docs", query="checkpoints"), "A checkpoint is saved after every step."])


@tool(read_only=True)
async def search_docs(query: str) -> str:
    """Search the documentation."""
    return f"{query}: one record after each finished step"


async def main() -> None:
    """Ask one question."""
    agent = create_agent(
        AgentConfig(
            model=model,
            instructions="You answer questions about Loom, from its documentation.",
            tools=[search_docs],
            policy=PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(read_only_only=True))),
        )
    )
    result = await agent.run("When is a checkpoint saved?")
    print(result.output)
    print(f"{result.state}, {result.usage.total_tokens} tokens")


asyncio.run(main())
