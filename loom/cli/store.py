"""The store of the command line: SQLite, and in each run's header how the run was started."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from loom.checkpoint.sqlite import SqliteCheckpointer
from loom.cli.settings import Settings
from loom.core.journal import Claim
from loom.errors import CheckpointError, ConfigError, RunNotFoundError
from loom.types.saving import first_finding

_KEY = "command"
_NO_RECORD = 1 << 31  # above the index of any record: the header alone is wanted


class CommandStore(SqliteCheckpointer):
    """A SQLite store that notes the settings of each run it begins.

    They stand in the run's header, so they are committed with its first record: a run that exists can
    be resumed. The engine reads its own keys of a header and leaves others alone.
    """

    def __init__(self, path: Path, settings: Settings | None = None) -> None:
        super().__init__(path)
        self._settings = settings

    async def create(
        self, run_id: str, graph: str, header: bytes, records: Sequence[bytes], *, parent: str | None = None
    ) -> Claim:
        """Begin a run; see `Checkpointer.create`."""
        if self._settings is not None:
            note = self._settings.model_dump(exclude_defaults=True)
            header = to_json({**from_json(header), _KEY: note})
        return await super().create(run_id, graph, header, records, parent=parent)


def existing(path: Path, run_id: str = "") -> CommandStore:
    """Open a store that is there already; looking for a run makes no file.

    Raises:
        RunNotFoundError: it is not there, so neither is the run.
    """
    if not path.exists():
        what = f'no run "{run_id}"' if run_id else "no runs"
        raise RunNotFoundError(f'{what}: there is no store "{path}"; "loom run" makes it, --store names another')
    return CommandStore(path)


async def settings_of(store: CommandStore, run_id: str, given: Settings) -> Settings:
    """Return how a run was started, with what is given now instead.

    Raises:
        RunNotFoundError: the store has no run of this id.
        ConfigError: the run was not started by `loom run`, and no graph is given.
    """
    journal = await store.read(run_id, _NO_RECORD)
    note = from_json(journal.header).get(_KEY)
    if note is None:
        if not given.graph:
            raise ConfigError(f'run "{run_id}" was not started by "loom run"; name its graph with --graph')
        return given
    try:
        return Settings.model_validate(note).but(given)
    except ValidationError as error:
        found = first_finding(error)
        raise CheckpointError(f'run "{run_id}" was started by another version of "loom run": {found}') from None
