"""What a model says, word by word, and what its tools do. Run it: python examples/streaming.py"""

import asyncio

from loom import AgentConfig, create_agent, tool
from loom.testing import ScriptedModel, call

# For a real model, with ANTHROPIC_API_KEY set: model = ModelRef.anthropic("claude-sonnet-4-5")
model = ScriptedModel(
    [[call("count_files", folder="src"), call("count_files", folder="tests")], "12 and 9: 21 files."] * 2
)


@tool(read_only=True, concurrency_safe=True)
async def count_files(folder: str) -> int:
    """Count the files of a folder."""
    return {"src": 12, "tests": 9}[folder]


async def main() -> None:
    """Follow one run by its words, another one by its events."""
    agent = create_agent(AgentConfig(model=model, tools=[count_files]))

    async for told in agent.run_streaming("How many files are there?"):
        match told.type:
            case "text_delta":
                print(told.delta, end="", flush=True)
            case "tool_call":
                print(f"[{told.name} {told.arguments}]")
            case "tool_result":
                print(f"[{told.name} gave {told.content}]")
            case "done":
                print(f"\n{told.status} after {told.iterations} turns")
            case "error":
                print(f"failed: {told.message}")
            case _:
                pass  # thoughts, and calls in pieces

    run = agent.session().start("Once more")
    async for event in run.events():
        if event.type in {"step.finished", "tool.finished", "run.completed"}:
            print(event.offset, event.type, event.payload.get("node") or event.payload.get("tool") or "")
    result = await run.wait()
    print(result.artifacts[0].kind, result.artifacts[0].content)


asyncio.run(main())
