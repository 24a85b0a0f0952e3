"""An agent that is killed in the middle of its work and goes on. Run it: python examples/crash_and_resume.py"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from loom import AgentConfig, Runtime, SqliteCheckpointer, create_agent, tool
from loom.testing import ScriptedModel, call

# For a real model, with ANTHROPIC_API_KEY set: model = ModelRef.anthropic("claude-sonnet-4-5")
begins = ScriptedModel([[call("pay", invoice=number) for number in range(1, 6)]])
goes_on = ScriptedModel(["All five are paid."])


@tool
def pay(invoice: int) -> str:
    """Pay an invoice."""
    if invoice == 3 and sys.argv[1] == "begin":
        os.kill(os.getpid(), signal.SIGKILL)  # as if somebody pulled the plug
    with Path("ledger.txt").open("a") as ledger:
        ledger.write(f"paid {invoice}\n")
    return f"invoice {invoice} is paid"


async def main() -> None:
    """Begin, or go on with what was begun."""
    store = SqliteCheckpointer("runs.db")
    model = begins if sys.argv[1] == "begin" else goes_on
    agent = create_agent(AgentConfig(model=model, tools=[pay]), runtime=Runtime(checkpointer=store))
    if sys.argv[1] == "begin":
        await agent.run("Pay the invoices 1 to 5")  # does not come back
    (begun,) = await store.runs()
    result = await agent.resume(begun.run_id)
    for ask in result.asks:
        # Nobody can know whether 3 was paid before the process died. So it is not repeated, but asked about.
        print(f"{ask.kind}: {ask.question}")
        result = await agent.resume(result.run_id, {ask.id: "retry"})
    print(result.output)


if len(sys.argv) > 1:
    asyncio.run(main())
else:
    with TemporaryDirectory() as folder:
        for what in ("begin", "go on"):
            done = subprocess.run([sys.executable, Path(__file__).resolve(), what], cwd=folder, check=False)
            print(f'the process to "{what}" ended with {done.returncode}')
        print(Path(folder, "ledger.txt").read_text(), end="")
