"""An agent's run, to be killed: `python -m tests.crashing_agent FOLDER COMMAND`, where COMMAND is JSON of `Command`.

It says in a line of JSON what its run came to, then waits to be killed if it was told to. What the processes have in
common is in FOLDER: the file of the store, and a ledger of what the tools did.
"""

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from loom import ModelRef, Result, Runtime, SqliteCheckpointer
from loom.graphs.agent import agent
from loom.testing import ScriptedModel, call
from loom.tools.door import Door
from loom.tools.tool import ToolSettings, ToolSpec
from loom.types.models import ModelRequest
from tests.crashing import Ledger, effects_of, say

# Any, in this module: JSON.

CALLS = ["first", "second", "third", "fourth", "fifth"]
Kind = Literal["write", "idempotent", "read", "permission"]
SETTINGS: dict[Kind, ToolSettings] = {
    "write": {},
    "idempotent": {"idempotent": True},
    "read": {"read_only": True},
    "permission": {"requires_permission": True},
}


@dataclass
class Command:
    """What a process is to do, and of what kind the third tool is.

    That one `hangs` before or after it does something, until it is killed. An answer `{"result": …}` is a result.
    """

    what: Literal["run", "resume"]
    kind: Kind
    hangs: Literal["", "before", "after"] = ""
    waits: bool = False
    answers: dict[str, Any] = field(default_factory=dict[str, Any])


def tool_of(name: str, command: Command, ledger: Ledger) -> ToolSpec[[], Any]:
    """Return a tool that notes its name in the ledger."""
    hangs = command.hangs if name == "third" else ""

    async def work() -> str:
        if hangs == "before":
            await hang()
        ledger.note(name)
        if hangs == "after":
            await hang()
        return f"{name} done"

    settings = SETTINGS[command.kind if name == "third" else "write"]
    work.__name__ = name
    return ToolSpec(work, **settings)


async def hang() -> None:
    """Say so, and wait to be killed."""
    say("hangs")
    await asyncio.Event().wait()


def replies(request: ModelRequest) -> Any:
    """Wish for all calls, then tell what came of them."""
    results = [message.text for message in request.messages if message.role == "tool"]
    return ", ".join(results) if results else [call(name) for name in CALLS]


async def do(command: Command, folder: Path) -> dict[str, Any]:
    """Begin the run, or go on with it, and walk it to its end, if nobody kills it."""
    tools = Door([tool_of(name, command, effects_of(folder, "r")) for name in CALLS])
    store = SqliteCheckpointer(folder / "loom.db")
    runtime = Runtime(models=ScriptedModel([replies] * 2), tools=tools, checkpointer=store)
    app = agent(ModelRef("given", "model")).compile()
    if command.what == "run":
        result = await app.run({"prompt": "Go!"}, run_id="r", runtime=runtime)
    else:
        answers = {
            ask: Result(answer["result"]) if isinstance(answer, dict) else answer
            for ask, answer in command.answers.items()
        }
        result = await app.resume("r", answers=answers, runtime=runtime)
    asks = [{"id": ask.id, "kind": ask.kind, "question": ask.question} for ask in result.asks]
    return {"status": result.status, "output": result.state.output, "asks": asks}


def main(folder: Path, command: Command) -> None:
    """Do a command; wait to be killed if it says so."""
    say(asyncio.run(do(command, folder)))
    if command.waits:
        asyncio.run(hang())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Command(**json.loads(sys.argv[2])))
