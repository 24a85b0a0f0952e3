"""The work of the demo: a brief, its tests, the harness around a model. Used by `demo.py` and `record.py`."""

import shutil
import sys
from pathlib import Path

from loom import AgentHarness, ModelRef, Runtime
from loom.types.models import Model

HERE = Path(__file__).parent
CASSETTE = HERE / "demo.cassette.json"
BRIEF = "Write evens.py with a function evens(numbers) that returns a list of the even numbers, in order."
CHECKS = {"tests pass": [sys.executable, "-m", "unittest", "-q", "-f"]}


def prepare(workspace: Path) -> Path:
    """Make a workspace that holds the user's tests, and nothing else."""
    workspace.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "brief" / "test_evens.py", workspace)
    return workspace


def harness(generator: Model | ModelRef, workspace: Path, runtime: Runtime, *, judge: ModelRef | None) -> AgentHarness:
    """Return the harness: tests decide, and a judge too where the model is able to be one."""
    return AgentHarness(
        generator=generator,
        evaluator=judge,
        planner=None,
        max_sprints=3,
        checks=CHECKS,
        workspace=workspace,
        check_timeout_s=30,
        runtime=runtime,
    )
