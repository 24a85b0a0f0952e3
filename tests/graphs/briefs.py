"""A brief with a test, and models that answer by a script, for tests of the harness.

    python briefs.py FOLDER CALLS

runs it CALLS times in processes of their own, of which each ends itself with SIGKILL at another call of a model.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from loom import ModelRef, Runtime, SqliteCheckpointer
from loom.core.result import GraphResult
from loom.graphs.harness import HarnessState, harness
from loom.runs.app import CompiledGraph
from loom.testing import ScriptedModel
from loom.tools.workspace import guarded_files
from loom.types.models import ModelRequest

BRIEF = "Write add.py with a function add(a, b)."
COMMAND = ["python", "-m", "unittest"]
CHECKS = {"tests pass": COMMAND}
TEST = """
import unittest
from add import add
class T(unittest.TestCase):
    def test_add(self): self.assertEqual(add(1, 1), 2)
"""
GENERATOR, EVALUATOR, PLANNER = (ModelRef("given", role) for role in ("generator", "evaluator", "planner"))


def code(body: str) -> str:
    return f"```python add.py\n{body}\n```\n"


GOOD = code("def add(a, b): return a + b")
BAD = code("def add(a, b): return a - b")
WORSE = code("def add(a, b): return 0")
CONTRACT = json.dumps({"criteria": ["add adds"]})


def verdict(passed: bool) -> str:
    return json.dumps({"verdicts": [{"id": "c1", "passed": passed, "evidence": "def add"}]})


def answer(request: ModelRequest) -> str:
    """Do the first sprint wrong and the second right."""
    is_again = "That is not right yet." in request.messages[-1].text
    told = "add(a, b): return a + b" in request.messages[-1].text
    return {
        "plan": BRIEF,
        "negotiate": CONTRACT,
        "generate": GOOD if is_again else BAD,
        "evaluate": verdict(told),
    }[request.node]


def prepared(folder: Path) -> CompiledGraph[HarnessState]:
    """Return the whole harness around a folder that has a test."""
    folder.mkdir(exist_ok=True)
    (folder / "test_add.py").write_text(TEST)
    return harness(GENERATOR, EVALUATOR, PLANNER, checks=CHECKS, workspace=folder).compile()


def store_in(folder: Path) -> SqliteCheckpointer:
    return SqliteCheckpointer(folder.with_suffix(".db"))


async def begin(folder: Path, model: ScriptedModel) -> GraphResult[HarnessState]:
    app = prepared(folder)
    inputs = {"brief": BRIEF, "guarded": guarded_files(folder, [COMMAND])}
    store = store_in(folder)
    try:
        return await app.run(inputs, run_id="r", runtime=Runtime(models=model, checkpointer=store))
    finally:
        await store.close()


def dying(at: int) -> ScriptedModel:
    """Return a model at whose call `at`, from 0, the process is killed."""

    def die(_: ModelRequest) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    return ScriptedModel([*[answer] * at, die])


def main(folder: Path, calls: int) -> None:
    # All that a run imports is there before the first process is made.
    asyncio.run(
        prepared(folder / "warm").run({"brief": BRIEF}, runtime=Runtime(models=ScriptedModel([answer] * calls)))
    )
    for at in range(calls):
        child = os.fork()
        if child == 0:
            asyncio.run(begin(folder / str(at), dying(at)))
            os._exit(1)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
