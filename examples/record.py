"""Record a real model for the demo: `make record API_BASE=http://127.0.0.1:8080/v1 [MODEL=local/NAME]`.

The recording is to show a first try that fails its tests and a later one that passes, so seeds are tried
until a run goes like that. Nothing is edited: the file holds what the model said, and the tests really ran.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from work import BRIEF, CASSETTE, harness, prepare

from loom import LoomError, MemoryCheckpointer, ModelRef, Runtime
from loom.models.litellm import client
from loom.testing import CassetteModel


async def record(ref: ModelRef, seed: int, path: Path) -> bool:
    """Record one run; tell whether its first sprint failed and a later one passed."""
    settings = {"seed": seed, "temperature": 0.9, "max_tokens": 200}
    inner = client(ref.model_copy(update={"extensions": settings}))
    about = f"seed {seed}, temperature 0.9, recorded by examples/record.py"
    with tempfile.TemporaryDirectory() as folder:
        model = CassetteModel(path, inner, about=about)
        runtime = Runtime(checkpointer=MemoryCheckpointer())
        result = await harness(model, prepare(Path(folder)), runtime, judge=None).run(BRIEF)
    verdicts = ["pass" if sprint.passed else "fail" for sprint in result.sprint_results]
    print(f"seed {seed}: {', '.join(verdicts)}", flush=True)
    return result.passed and result.sprints > 1


def main() -> int:
    """Try seeds until a recording is worth showing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="local/SmolLM2-135M-Instruct")
    parser.add_argument("--api-base", help="the server, as in http://127.0.0.1:8080/v1")
    parser.add_argument("--seeds", type=int, default=40, help="how many seeds to try")
    given = parser.parse_args()
    if given.model.startswith("local/") and not given.api_base:
        print("record.py needs a model's server: make record API_BASE=http://127.0.0.1:8080/v1", file=sys.stderr)
        return 2
    ref = ModelRef.parse(given.model, api_base=given.api_base)
    trial = CASSETTE.with_suffix(".trial")
    for seed in range(1, given.seeds + 1):
        trial.unlink(missing_ok=True)
        try:
            is_worth_showing = asyncio.run(record(ref, seed, trial))
        except LoomError as error:
            print(f"record.py: {error}", file=sys.stderr)
            return 1
        if is_worth_showing:
            trial.replace(CASSETTE)
            print(f"recorded {ref.identifier} to {CASSETTE.name}")
            return 0
    trial.unlink(missing_ok=True)
    print(f"no seed of {given.seeds} failed first and passed later; try more --seeds", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
