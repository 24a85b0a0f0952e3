"""The harness on a real brief, killed in the middle and resumed.

`make demo` replays a recording of a real model; `make demo MODEL=anthropic/claude-sonnet-4-5`, or any other model, also
a local server by `API_BASE=`, does it live. The tests are really run either way, and the kill is a real SIGKILL.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from work import BRIEF, CASSETTE, CHECKS, harness, prepare

from loom import AgentHarness, ModelRef, RunNotFoundError, Runtime, SqliteCheckpointer
from loom.models.litellm import client
from loom.testing import CassetteModel
from loom.types.models import Emit, Model, ModelReply, ModelRequest

STORE = Path(".loom/loom.db")
PICTURE = Path(".loom/harness.svg")
RUN = "demo"


class Killed:
    """A model that kills its own process, with SIGKILL, when it is asked the second time to generate."""

    def __init__(self, inner: Model) -> None:
        self._inner = inner
        self._asked = 0

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Answer the first request to generate; do not live to answer the second."""
        self._asked += request.node == "generate"
        if self._asked == 2:
            print("  ✗ dead  generate was to begin: this process killed itself with SIGKILL", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return await self._inner.complete(request, emit)


def made(given: argparse.Namespace, store: SqliteCheckpointer, *, dies: bool) -> AgentHarness:
    """Return the harness of this demo, recorded or live."""
    ref = ModelRef.parse(given.model, api_base=given.api_base) if given.model else None
    model: Model = client(ref) if ref else CassetteModel(CASSETTE)
    workspace = Path(given.workspace)
    runtime = Runtime(checkpointer=store, models=Killed(model) if dies else model)
    generator = ref or ModelRef("recording", "demo")
    return harness(generator, workspace, runtime, judge=ref)


async def work(given: argparse.Namespace, one: AgentHarness, store: SqliteCheckpointer) -> int:
    """Run or resume, and print the steps as they happen."""
    seen = await steps(store, 0, "= kept") if given.part == "resume" else 0
    done = asyncio.create_task(one.run(BRIEF, run_id=RUN) if given.part == "run" else one.resume(RUN))
    while not done.done():
        await asyncio.sleep(0.02)
        seen = await steps(store, seen)
    await steps(store, seen)
    result = await done
    print(f"\nresult    {'passed' if result.passed else 'not passed'} after {result.sprints} sprints")
    for sprint in result.sprint_results:
        for verdict in sprint.verdicts:
            mark = "✓" if verdict.passed else "✗"
            print(f"  {mark} sprint {sprint.sprint}, {verdict.criterion}: {verdict.evidence.splitlines()[0]}")
    await store.close()
    return 0 if result.passed else 1


async def steps(store: SqliteCheckpointer, seen: int, mark: str = "✓ done") -> int:
    """Print the steps that were saved from record `seen` on; return how many records there are."""
    try:
        journal = await store.read(RUN, seen)
    except RunNotFoundError:
        return seen
    for line in journal.records:
        record = json.loads(line)
        if record["kind"] == "step":
            print(f"  {mark}  step {record['seq']}, {record['node']}, {record['s']:.2f} s", flush=True)
    return journal.head


def main() -> int:
    """Run in a child that dies, resume in another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="", help="PROVIDER/NAME; without it a recording is replayed")
    parser.add_argument("--api-base", help="an OpenAI-compatible server")
    parser.add_argument("--part", choices=("run", "resume"), help=argparse.SUPPRESS)
    parser.add_argument("--workspace", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.api_base and not given.model:
        parser.error("--api-base says where a model is; name it too: make demo MODEL=local/any API_BASE=…")
    if given.part:
        store = SqliteCheckpointer(STORE)
        one = made(given, store, dies=given.part == "run")
        PICTURE.write_text(one.graph.draw("svg"))
        return asyncio.run(work(given, one, store))
    about = json.loads(CASSETTE.read_text())
    if given.model:
        print(f"live      {given.model}")
    else:
        print(f"recorded  {about['model']}, on {about['recorded']}; no model is called, the tests really run")
    print(f"brief     {BRIEF}\nchecks    {', '.join(CHECKS)}")
    workspace = prepare(Path(tempfile.mkdtemp(prefix="loom-demo-")))
    STORE.parent.mkdir(exist_ok=True)
    asyncio.run(forget())
    call = [sys.executable, __file__, "--workspace", str(workspace), "--model", given.model]
    call += ["--api-base", given.api_base] if given.api_base else []
    print("\nrun", flush=True)
    first = subprocess.run([*call, "--part", "run"], check=False)
    if first.returncode != -signal.SIGKILL:
        return first.returncode
    print(f"\nresume    in a new process, from {STORE}", flush=True)
    last = subprocess.run([*call, "--part", "resume"], check=False)
    print(f"\nthe file, in {workspace}:\n\n{(workspace / 'evens.py').read_text().rstrip()}")
    print(f"\npicture   {PICTURE.absolute()}")
    print(f"journal   {loom()} show {RUN} --graph harness")
    return last.returncode


def loom() -> str:
    """Return how to call the command of this environment from here."""
    if shutil.which("loom"):
        return "loom"
    python = Path(sys.executable)
    return f"{python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python} -m loom"


async def forget() -> None:
    """Delete the run of an earlier demo."""
    store = SqliteCheckpointer(STORE)
    for run in await store.runs():
        if run.run_id == RUN:
            await store.delete(RUN)
    await store.close()


if __name__ == "__main__":
    sys.exit(main())
