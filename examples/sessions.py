"""A session that remembers, also in the next process. Run it twice: python examples/sessions.py"""

import asyncio

from loom import AgentConfig, SessionConfig, create_agent
from loom.config import MemoryBackend, MemoryConfig
from loom.testing import ScriptedModel
from loom.types.models import ModelRequest


def remembering(request: ModelRequest) -> str:
    """Say what a model would: that it knows what was asked before."""
    asked = [message.text for message in request.messages if message.role == "user"]
    return f"This is question {len(asked)}; the first was: {asked[0]}"


# For a real model, with ANTHROPIC_API_KEY set: model = ModelRef.anthropic("claude-sonnet-4-5")
model = ScriptedModel([remembering] * 3)


async def main() -> None:
    """Ask three times in one session, which a file keeps."""
    memory = MemoryConfig(backend=MemoryBackend.sqlite("sessions.db"))
    async with create_agent(AgentConfig(model=model, instructions="Be brief.", memory=memory)) as agent:
        session = agent.session(SessionConfig(id="demo-user"))
        for prompt in ("What makes a good API?", "And a bad one?", "What did I ask first?"):
            result = await session.run(prompt)
            print(f"> {prompt}\n  {result.output}")


asyncio.run(main())
