"""Searching texts for a regular expression, in a process of its own.

A regular expression can take longer than the universe lasts, and while it is at work no other thread of its process
is. So it is matched in another process, which gets the texts, is limited in time and memory, and can be killed.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

from loom.errors import ToolExecutionError

MAX_MATCHES: Final = 200
_MEMORY_BYTES: Final = 1 << 30
_LINE_CHARS: Final = 300  # of a line that is shown

# Nothing but the standard library: the other process starts without site-packages, which is sooner.
_PROGRAM: Final = """
import json, re, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
except (ImportError, ValueError):
    pass  # a system without such limits; the time limit holds
wanted = json.load(sys.stdin)
try:
    pattern = re.compile(wanted["pattern"], re.IGNORECASE if wanted["ignore_case"] else 0)
except (re.error, RecursionError, OverflowError) as error:
    json.dump({"error": str(error)}, sys.stdout)
    sys.exit()
found = []
for path, text in wanted["texts"].items():
    for number, line in enumerate(text.split("\\n"), 1):
        if len(found) <= wanted["limit"] and pattern.search(line):
            found.append((path, number, line))
json.dump({"found": found}, sys.stdout)
"""


class Match(NamedTuple):
    """A line in which a pattern was found; it is cut if it is long."""

    path: str
    line: int
    text: str


def search(texts: Mapping[str, str], pattern: str, *, ignore_case: bool, timeout_s: float) -> tuple[list[Match], bool]:
    """Return the first lines, in order, in which a regular expression is found, and whether there are more.

    Raises:
        ToolExecutionError: it is no regular expression, or takes too much time or memory.
    """
    wanted = {"pattern": pattern, "ignore_case": ignore_case, "limit": MAX_MATCHES, "texts": texts}
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_MEMORY_BYTES)]
    try:
        done = subprocess.run(
            command, input=json.dumps(wanted).encode(), capture_output=True, timeout=timeout_s, env={}, check=False
        )
    except subprocess.TimeoutExpired:
        raise ToolExecutionError(f'pattern "{pattern}" took longer than {timeout_s:g} s; make it simpler') from None
    if done.returncode:
        raise ToolExecutionError(f'pattern "{pattern}" takes too much memory; make it simpler')
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise ToolExecutionError(f'pattern "{pattern}" is no regular expression: {answer["error"]}')
    found = [Match(path, line, text[:_LINE_CHARS].rstrip("\r")) for path, line, text in answer["found"]]
    return found[:MAX_MATCHES], len(found) > MAX_MATCHES
