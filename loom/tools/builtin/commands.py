"""A tool that runs programs from a list, in one folder."""

import os
import shutil
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from loom.errors import ConfigError, ToolPermissionError, quoted
from loom.tools.builtin.confined import Confined
from loom.tools.command import CommandLimits, clean_environment, run_command
from loom.tools.tool import ToolSpec, tool
from loom.types.given import check_kind, check_seconds, check_texts

MAX_OUTPUT_BYTES: Final = 64_000  # the last of them are kept

Command = Annotated[
    list[str],
    Field(min_length=1, description='the program and its arguments, as in ["pytest", "-q"]; there is no shell'),
]


# Any: tools take different arguments.
def command_tool(
    root: str | os.PathLike[str],
    *,
    allow: Sequence[str],
    timeout_s: float = 60.0,
    limits: CommandLimits | None = None,
    destructive: bool = True,
) -> ToolSpec[..., Any]:
    """Return the tool `run_command`, which runs the programs named in `allow` in the folder `root`, with any arguments.

    There is no shell. A program gets no input and a clean environment, is found once, when the tool is made, and is
    stopped with all it started after `timeout_s` seconds. `limits` are the defaults of `CommandLimits` unless given.
    What a program does is not confined: allow none that runs what it is told to, such as an interpreter, unless a
    model may do what you may. So the tool is `destructive` unless you know that none of them can destroy anything.

    Raises:
        ConfigError: `root` is no folder, `allow` is no list of names or empty, a program is not there, or another
            setting is not what it should be.
    """
    inside = Confined(root)
    programs = _found(allow)
    check_seconds("command_tool(timeout_s=…)", timeout_s)
    limits = CommandLimits() if limits is None else limits
    check_kind("command_tool(limits=…)", limits, CommandLimits)

    # A model is told which programs there are. Longer than a program may take: the tool's own limit never comes first.
    @tool(
        name="run_command",
        description=f"Run a program in the workspace; its last output is returned. Allowed are {quoted(programs)}.",
        destructive=destructive,
        timeout_s=timeout_s + 10,
    )
    async def run(command: Command) -> str:
        if command[0] not in programs:
            raise ToolPermissionError(f'program "{command[0]}" is not allowed; allowed are {quoted(programs)}')
        result = await run_command(
            [programs[command[0]], *command[1:]],
            cwd=inside.root,
            timeout_s=timeout_s,
            max_output_bytes=MAX_OUTPUT_BYTES,
            limits=limits,
        )
        ended = f"stopped after {timeout_s:g} s" if result.timed_out else f"exit status {result.exit_status}"
        cut = f" (the first {result.cut_bytes} bytes of output are left out)" if result.cut_bytes else ""
        return f"{ended}{cut}\n{result.output}"

    return run


def _found(allow: Sequence[str]) -> dict[str, str]:
    """Return where each program is, by its name as it was given."""
    check_texts("command_tool(allow=…)", allow, '"pytest", "git"', is_needed=True)
    programs: dict[str, str] = {}
    for name in allow:
        found = shutil.which(name, path=clean_environment()["PATH"])
        if found is None:
            raise ConfigError(f'command_tool(allow=…) names "{name}", but there is no such program')
        programs[name] = os.path.abspath(found)  # noqa: PTH100 - resolve() would follow links, which some programs go by
    return programs
