"""W8: a cold import in a new process, and what had to be installed for it."""

import re
import subprocess
import sys
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from bench.lap import Lap, Work


def importing(statement: str, *names: str) -> Work:
    """Make a workload of starting Python for one import; `names` are the distributions that a user installs for it."""

    async def cold_import(lap: Lap) -> None:
        lap.disk_bytes, count = installed(*names)
        lap.remark = f"{count} distributions"
        lap.start()
        # Isolated: neither the current folder nor the environment's variables say where to import from.
        subprocess.run([sys.executable, "-I", "-c", statement], check=True)  # noqa: ASYNC221 - alone in its loop

    return cold_import


@cache
def installed(*names: str) -> tuple[int, int]:
    """Return the bytes and the number of some distributions and all that they require."""
    found: dict[str, Distribution] = {}
    todo = list(names)
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # required under another system or Python
            continue
        needs = [need for need in found[name].requires or () if "extra ==" not in need]
        todo += [re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in needs]
    files = [Path(str(file.locate())) for one in found.values() for file in one.files or () if file.suffix != ".pyc"]
    return sum(file.stat().st_size for file in files if file.is_file()), len(found)
