"""Produce what the contract asks for, as files in a workspace."""

from functools import partial
from typing import ClassVar

import anyio.to_thread
from pydantic import BaseModel

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.errors import ToolPermissionError
from loom.nodes.generate import Generate, GenerateIn
from loom.tools.checks import make_workspace
from loom.tools.workspace import STEERING, files_in, write_file
from loom.types.models import ModelRef


class GenerateFilesIn(GenerateIn):
    """As for `Generate`, and the files that checks rely on: their SHA-256 by path."""

    guarded: dict[str, str] = {}


class GenerateFilesOut(BaseModel):
    """The reply of the model, whole; the paths of the files it wrote; which it could not, and why."""

    output: str
    files: tuple[str, ...]
    refused: tuple[str, ...]


class GenerateFiles(Node[GenerateFilesIn, GenerateFilesOut]):
    """Ask `model` for files and write them into the folder `workspace`, and nowhere else.

    With `is_checked`, files that steer test runners are refused, as are the guarded ones. A refused file is told, not
    raised: the model can do better. Run once more after a crash it writes the files of its new reply over the old.
    """

    kind: ClassVar[str] = "generate"
    effect: ClassVar[Effect] = "write"

    model: ModelRef
    workspace: str
    is_checked: bool = False

    async def run(self, inputs: GenerateFilesIn, ctx: Context) -> GenerateFilesOut:
        """Make one model call and write what it says."""
        make_workspace(self.workspace)
        output = (await Generate(model=self.model, in_files=True).run(inputs, ctx)).output
        reply = files_in(output)
        forbidden = STEERING if self.is_checked else frozenset[str]()
        refused = list(reply.broken)
        written: list[str] = []
        for path, content in reply.files.items():
            write = partial(write_file, guarded=inputs.guarded, forbidden_names=forbidden)
            try:
                await anyio.to_thread.run_sync(write, self.workspace, path, content)
                written.append(path)
            except ToolPermissionError as error:
                refused.append(str(error))
        return GenerateFilesOut(output=output, files=tuple(written), refused=tuple(refused))
