"""The work of the demo: a brief, its tests, the harness around a model. Used by `demo.py` and `record.py`."""

import shutil
import sys
from pathlib import Path

from loom import AgentHarness, ModelRef, Runtime
from loom.types.models import Model

HERE = Path(__file__).parent
CASSETTE = HERE / "demo.cassette.json"
BRIEF = "Write factorial.py with a function factorial(n) that returns n factorial. The factorial of 0 is 1."
CHECKS = {"tests pass": [sys.executable, "-m", "unittest", "-q", "-f"]}


def prepare(workspace: Path) -> Path:
    """Make a workspace that holds the user's tests, and nothing else."""
    workspace.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "brief" / "test_factorial.py", workspace)
    return workspace


def harness(generator: Model | ModelRef, workspace: Path, runtime: Runtime, *, judge: ModelRef | None) -> AgentHarness:
    """Return the harness: tests decide, and a judge too where the model is able to be one."""
    return AgentHarness(
        generator=generator,
        evaluator=judge,
        planner=None,
        max_sprints=4,
        checks=CHECKS,
        workspace=workspace,
        check_timeout_s=30,
        runtime=runtime,
    )
