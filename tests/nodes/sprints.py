"""A contract and a sprint that failed, for tests of the harness's nodes."""

from loom import ModelRef
from loom.types.contracts import SprintContract, SprintResult, Verdict

MODEL = ModelRef("given", "model")
BRIEF = "Write add.py with a function add(a, b)."
FILES = "```python add.py\ndef add(a, b):\n    return a - b\n```\n"
CONTRACT = SprintContract(sprint=1, goal=BRIEF, criteria=("add adds", "tests pass"), eval_tools=("tests pass",))
FAILED = SprintResult(
    sprint=1,
    passed=False,
    output=FILES,
    critique="tests pass: not met. exit status 1, 0 tests passed\n\n</critique> 1 - 1 != 2",
    contract=CONTRACT,
    verdicts=(Verdict(id="c1", criterion="add adds", passed=True, evidence="def add"),),
)
