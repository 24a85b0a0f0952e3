"""What each command does, once its options are read."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from loom.cli.drive import attend
from loom.cli.exits import Exit, OutputError, writing
from loom.cli.inputs import answer_of, inputs_from, pairs
from loom.cli.options import Format, Given, Kind, OnChange, Status
from loom.cli.output import Output, hint, output
from loom.cli.settings import Settings, make, settings_from
from loom.cli.store import CommandStore, existing, settings_of
from loom.cli.tables import show_problems, show_run, show_runs, stdout
from loom.cli.view import RunView, asks_of, point_json, view_of
from loom.core.graph import Graph
from loom.core.result import Checkpoint, RunInfo
from loom.core.runtime import Limits, Runtime
from loom.errors import ConfigError, GraphError, NodeError, NoEdgeError, Problem, quoted
from loom.runs.app import CompiledGraph
from loom.runs.inputs import checked_run_id
from loom.types.events import Event
from loom.types.models import ModelRef
from loom.types.outline import Outline

# Any, in this module: the state of a graph is the user's.
App = CompiledGraph[Any]
Go = Callable[[Callable[[Event], None]], Awaitable[int]]

# A graph that is only looked at asks no model, so none need be named.
_ANY_MODEL = ModelRef("any", "model")
_SUFFIXES = {".svg": Format.svg, ".dot": Format.dot, ".gv": Format.dot, ".mmd": Format.mermaid, ".png": Format.png}


def run(given: Given, inputs: Sequence[str], run_id: str | None, store: Path, kind: Kind) -> None:
    """Run a graph to its end."""
    with output(kind) as out:
        settings = settings_from(given)
        saved, new_id = CommandStore(store, settings), checked_run_id(run_id)
        app, runtime = _ready(settings, saved)
        values = _guarded(inputs_from(inputs, app.state_type), settings, app)
        _walk(app, saved, new_id, out, lambda hear: attend(app.start(values, run_id=new_id, runtime=runtime), hear))


def resume(
    run_id: str,
    given: Given,
    answers: Sequence[str],
    on_change: OnChange,
    renames: Sequence[str],
    store: Path,
    kind: Kind,
) -> None:
    """Go on with a run."""
    with output(kind) as out:
        saved = existing(store, run_id)
        settings = asyncio.run(settings_of(saved, run_id, settings_from(given)))
        app, runtime = _ready(settings, saved)

        async def go(hear: Callable[[Event], None]) -> int:
            asks = {ask.id: ask.answer_type for ask in await asks_of(saved, run_id)} if answers else {}
            values = {key: answer_of(text, asks.get(key, {})) for key, text in pairs(answers, "--answer").items()}
            names = pairs(renames, "--rename")
            handle = app.start_resume(run_id, answers=values, on_change=on_change.value, rename=names, runtime=runtime)
            return await attend(handle, hear)

        _walk(app, saved, run_id, out, go)


def runs(status: Status | None, store: Path, kind: Kind) -> None:
    """List runs."""

    async def listed(saved: CommandStore) -> list[RunInfo]:
        try:
            return await saved.runs(status=status.value if status else None)
        finally:
            await saved.close()

    with output(kind) as out:
        found = asyncio.run(listed(existing(store)))
        if out.kind == "json":
            out.write({"runs": [{name: getattr(one, name) for name in RunInfo.__slots__} for one in found]})
        else:
            with writing():
                show_runs(stdout(), found)


def show(run_id: str, graph: str, store: Path, kind: Kind) -> None:
    """Show a run."""

    async def read(saved: CommandStore) -> tuple[RunView, list[Checkpoint]]:
        try:
            settings = await settings_of(saved, run_id, Settings(graph=graph))
            app = _compiled(make(settings, stand_in=_ANY_MODEL).graph)
            return await view_of(app, saved, run_id), await app.history(run_id, runtime=Runtime(checkpointer=saved))
        finally:
            await saved.close()

    with output(kind) as out:
        view, points = asyncio.run(read(existing(store, run_id)))
        if out.kind == "json":
            out.write(view.model_dump(mode="json") | {"history": [point_json(point) for point in points]})
        else:
            with writing():
                show_run(stdout(), view, points)


# Any: inputs, whose types are the user's.
def _guarded(inputs: dict[str, Any], settings: Settings, app: App) -> dict[str, Any]:
    """Add what the harness wants to know of the files its checks rely on, as they are now."""
    if not settings.checks or "guarded" in inputs or "guarded" not in app.state_type.model_fields:
        return inputs
    from loom.tools.workspace import guarded_files  # noqa: PLC0415 - only this graph needs it

    return inputs | {"guarded": guarded_files(settings.workspace or ".", list(settings.checks.values()))}


def render(given: Given, path: Path | None, wish: Format | None) -> None:
    """Draw a graph."""
    chosen = _format(path, wish)
    drawn = _compiled(make(settings_from(given), stand_in=_ANY_MODEL).graph).draw(chosen.value)
    if path is not None:
        _write(path, drawn if isinstance(drawn, bytes) else drawn.encode())
    with writing():
        typer.echo(path or str(drawn).removesuffix("\n"))


def check(given: Given, kind: Kind) -> None:
    """Find what is wrong with a graph."""
    with output(kind) as out:
        name, problems = _problems(settings_from(given))
        has_errors = any(problem.severity == "error" for problem in problems)
        if out.kind == "json":
            found = [{key: getattr(problem, key) for key in Problem._fields} for problem in problems]
            out.write({"graph": name, "ok": not has_errors, "problems": found})
        else:
            with writing():
                show_problems(stdout(), name, problems)
    raise typer.Exit(Exit.GRAPH if has_errors else Exit.OK)


def _compiled(graph: Graph[Any] | App) -> App:
    return graph.compile() if isinstance(graph, Graph) else graph


def _ready(settings: Settings, store: CommandStore) -> tuple[App, Runtime]:
    """Return the graph, compiled, and what it runs with."""
    made = make(settings)
    app = _compiled(made.graph)
    if made.model and not _asks_models(app.outline()):
        raise ConfigError(f'"{settings.graph}" asks no model; leave --model out')
    return app, Runtime(checkpointer=store, models=made.model, limits=Limits(max_steps=settings.max_steps))


def _asks_models(outline: Outline) -> bool:
    """Tell whether a node may ask a model; one of effect `write` may, too."""
    return any(
        node.effect in ("model", "write") or (node.inner is not None and _asks_models(node.inner))
        for node in outline.nodes
    )


def _walk(app: App, store: CommandStore, run_id: str, out: Output, go: Go) -> None:
    """Run or resume, print how it ended, and end the command."""

    async def walked() -> tuple[RunView, int, NodeError | NoEdgeError | OutputError | None]:
        signal, failure = 0, None
        try:
            with out.heard(app.outline()) as hear:
                try:
                    signal = await go(hear)
                except (NodeError, NoEdgeError, OutputError) as error:
                    failure = error
            return await view_of(app, store, run_id), signal, failure
        finally:
            await store.close()

    view, signal, failure = asyncio.run(walked())
    try:
        out.end(view, store.path)
    except OutputError as error:
        if failure:
            failure.add_note(str(error))
        else:
            failure = error
    if failure:
        is_saved = "the run is saved; " if isinstance(failure, OutputError) else ""
        failure.add_note(f"{is_saved}{hint(view, store.path)}")
        raise failure
    codes = {"completed": Exit.OK, "cancelled": 128 + signal if signal else Exit.CANCELLED}
    raise typer.Exit(codes.get(view.status, Exit.STOPPED))


def _problems(settings: Settings) -> tuple[str, tuple[Problem, ...]]:
    """Return a graph's name and problems; of one that is compiled already, those that it did not compile for."""
    try:
        graph = make(settings, stand_in=_ANY_MODEL).graph
    except GraphError as error:
        return error.graph, error.problems
    return graph.name, tuple(graph.check()) if isinstance(graph, Graph) else ()


def _format(path: Path | None, wish: Format | None) -> Format:
    if path is None:
        if wish == Format.png:
            raise ConfigError("a PNG is no text for stdout; name a file with -o")
        return wish or Format.mermaid
    found = wish or _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise ConfigError(f'no format is known for "{path}"; suffixes are {quoted(_SUFFIXES)}, or say --format')
    return found


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f'cannot write "{path}": {error.strerror}') from None
