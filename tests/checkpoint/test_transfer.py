import json
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated, Any, cast

import anyio
import pytest
from pydantic_core import from_json, to_json

import loom.checkpoint
from loom import (
    END,
    START,
    CheckpointError,
    ConfigError,
    Context,
    Graph,
    Limits,
    MemoryCheckpointer,
    NodeError,
    RunConflictError,
    RunExistsError,
    RunNotFoundError,
    Runtime,
    SqliteCheckpointer,
    State,
    append,
    node,
)
from loom.checkpoint import Checkpointer, Claim, Status, copy_run, export_run, import_run, prune
from loom.runs.app import CompiledGraph
from loom.testing.checkpointer_crashes import Child, hold

pytestmark = pytest.mark.anyio

# Any, in this module: what no type checker would let pass.

KINDS = ["memory", "sqlite"]
NAMES = 'größe\n漢\u2028\x00"\\ 😀'


class Trip(State):
    stops: Annotated[list[str], append] = []
    note: str = ""


@node(writes="stops")
async def leave(note: str) -> list[str]:
    return [f"left with {note}"]


@node(writes="stops", effect="write")
async def decide(ctx: Context) -> list[str]:
    paid = await ctx.once("pay", pay)
    return [paid, await ctx.ask("Where to?", key="where")]


@node(writes="stops")
async def arrive(stops: list[str]) -> list[str]:
    return [f"arrived after {len(stops)}"]


paid: list[str] = []


def pay() -> str:
    paid.append("paid")
    return "paid"


def trip() -> CompiledGraph[Trip]:
    graph = Graph("trip", Trip)
    graph.node("leave", leave)
    graph.node("decide", decide, ungated="a test")
    graph.node("arrive", arrive)
    graph.edge(START, "leave", "decide", "arrive", END)
    return graph.compile()


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Checkpointer]:
    made = MemoryCheckpointer() if request.param == "memory" else SqliteCheckpointer(tmp_path / "store.db")
    yield made
    await made.close()


@pytest.fixture(params=KINDS)
async def other(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Checkpointer]:
    made = MemoryCheckpointer() if request.param == "memory" else SqliteCheckpointer(tmp_path / "other.db")
    yield made
    await made.close()


async def paused(store: Checkpointer, run_id: str = "r") -> None:
    """Begin a run that waits for an answer."""
    result = await trip().run({"note": NAMES}, run_id=run_id, runtime=Runtime(checkpointer=store))
    assert result.status == "paused"


async def finished(store: Checkpointer, run_id: str) -> list[str]:
    """Answer a run that waits, and return what it came to."""
    app, runtime = trip(), Runtime(checkpointer=store)
    (ask,) = (await app.resume(run_id, runtime=runtime)).asks
    result = await app.resume(run_id, answers={ask.id: "home"}, runtime=runtime)
    assert result.status == "completed"
    return result.state.stops


async def exported(store: Checkpointer, run_id: str = "r") -> list[str]:
    return [line async for line in export_run(store, run_id)]


# Export and import.


async def test_an_imported_run_is_the_one_that_was_exported(store: Checkpointer, other: Checkpointer) -> None:
    await paused(store)
    assert await import_run(other, await exported(store)) == "r"
    ours, theirs = await store.read("r"), await other.read("r")
    assert list(theirs.records) == list(ours.records)
    assert (theirs.status, theirs.header) == (ours.status, ours.header)
    (run,) = await other.runs()
    assert (run.run_id, run.status, run.graph, run.parent) == ("r", "paused", "trip", None)


async def test_an_imported_run_goes_on_where_the_exported_one_stood(store: Checkpointer, other: Checkpointer) -> None:
    paid.clear()
    await paused(store)
    await import_run(other, await exported(store))
    assert await finished(other, "r") == [f"left with {NAMES}", "paid", "home", "arrived after 3"]
    assert paid == ["paid"]
    assert (await store.read("r")).status == "paused"


async def test_a_run_imported_under_another_id_goes_on_too(store: Checkpointer) -> None:
    await paused(store)
    assert await import_run(store, await exported(store), run_id="copy") == "copy"
    assert (await finished(store, "copy"))[-1] == "arrived after 3"
    assert (await store.read("r")).status == "paused"
    assert (await finished(store, "r"))[-1] == "arrived after 3"


@pytest.mark.parametrize("status", ["completed", "stopped", "failed"])
async def test_a_run_keeps_its_status(status: str, store: Checkpointer, other: Checkpointer) -> None:
    @node(writes="note")
    async def work(stops: list[str]) -> str:
        if status == "failed":
            raise ValueError("no")
        return "done"

    graph = Graph("works", Trip)
    graph.node("work", work)
    graph.edge(START, "work", END)
    runtime = Runtime(checkpointer=store, limits=Limits(max_steps=0 if status == "stopped" else None))
    if status == "failed":
        with pytest.raises(NodeError):
            await graph.compile().run(run_id="r", runtime=runtime)
    else:
        await graph.compile().run(run_id="r", runtime=runtime)
    await import_run(other, await exported(store))
    assert [run.status for run in await other.runs()] == [status]


async def test_a_run_that_was_at_work_can_be_resumed_after_its_import(store: Checkpointer, other: Checkpointer) -> None:
    reached, go_on = anyio.Event(), anyio.Event()
    ran: list[str] = []

    @node(writes="stops")
    async def first(note: str) -> list[str]:
        ran.append("first")
        return ["first"]

    @node(writes="stops")
    async def second(stops: list[str]) -> list[str]:
        ran.append("second")
        reached.set()
        await go_on.wait()
        return ["second"]

    graph = Graph("works", Trip)
    graph.node("first", first)
    graph.node("second", second)
    graph.edge(START, "first", "second", END)
    app = graph.compile()
    run = app.start(run_id="r", runtime=Runtime(checkpointer=store))
    await reached.wait()
    await import_run(other, await exported(store))
    assert [info.status for info in await other.runs()] == ["running"]
    go_on.set()
    result = await app.resume("r", runtime=Runtime(checkpointer=other))
    assert (result.status, result.state.stops) == ("completed", ["first", "second"])
    assert ran == ["first", "second", "second"]
    assert (await run.wait()).status == "completed"


async def test_lines_survive_a_file(store: Checkpointer, tmp_path: Path) -> None:
    await paused(store)
    path = tmp_path / "run.jsonl"
    lines = await exported(store)
    assert not any("\n" in line for line in lines)
    path.write_text("".join(f"{line}\n" for line in lines) + "\n", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        await import_run(store, file, run_id="back")
    assert list((await store.read("back")).records) == list((await store.read("r")).records)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
async def test_lines_may_be_bytes_and_have_any_end(store: Checkpointer, other: Checkpointer, end: bytes) -> None:
    await paused(store)
    lines = await exported(store)
    assert await import_run(other, [line.encode() + end for line in lines], run_id="bytes") == "bytes"
    assert await import_run(other, [line + end.decode() for line in lines], run_id="texts") == "texts"
    for run_id in ("bytes", "texts"):
        assert list((await other.read(run_id)).records) == list((await store.read("r")).records)


async def test_what_is_exported_may_be_imported_as_it_comes(store: Checkpointer, other: Checkpointer) -> None:
    await paused(store)
    assert await import_run(other, export_run(store, "r")) == "r"
    assert await other.read("r") == await store.read("r")


@pytest.mark.parametrize("lines", [None, 5, "the whole text", b"the whole text"])
async def test_what_is_no_list_of_lines_is_refused(lines: Any, other: Checkpointer) -> None:
    with pytest.raises(ConfigError, match=r"import_run\(…, lines\) must be lines, as an open file or a list; got "):
        await import_run(other, lines)


async def test_a_line_that_is_no_text_is_refused(other: Checkpointer) -> None:
    lines: Any = ["{}", 5]
    with pytest.raises(ConfigError, match=r"import_run\(…, lines\) must be lines of text or bytes; got 5 among them"):
        await import_run(other, lines)
    assert await other.runs() == []


@pytest.mark.parametrize("run_id", ["", 5, "a\nb", "\ud800"])
async def test_a_run_cannot_be_brought_under_an_id_that_no_run_could_begin_with(
    run_id: Any, store: Checkpointer, other: Checkpointer
) -> None:
    await paused(store)
    lines = await exported(store)
    for moved in (import_run(other, lines, run_id=run_id), copy_run(store, "r", other, new_id=run_id)):
        with pytest.raises(ConfigError, match="run_id must be a text of printable characters, one at least; got "):
            await moved
    assert await other.runs() == []


async def test_a_run_of_such_an_id_is_brought_under_another(store: Checkpointer, other: Checkpointer) -> None:
    header = b'{"graph":"trip"}'
    await store.release(await store.create("a\nb", "trip", header, [b'{"kind":"answer"}']))
    lines = await exported(store, "a\nb")
    for moved in (import_run(other, lines), copy_run(store, "a\nb", other)):
        with pytest.raises(ConfigError, match=r"run_id must be a text of printable characters.*; got 'a\\nb'"):
            await moved
    assert await import_run(other, lines, run_id="new") == "new"
    assert await copy_run(store, "a\nb", other, new_id="newer") == "newer"


@pytest.mark.parametrize("run_id", [5, ["r"]])
async def test_what_is_no_id_is_told(run_id: Any, store: Checkpointer, other: Checkpointer) -> None:
    for asked in (exported(store, run_id), copy_run(store, run_id, other, new_id="new")):
        with pytest.raises(ConfigError, match="run_id must be a text, the id of a run that is saved; got "):
            await asked


async def test_what_is_no_store_is_told(store: Checkpointer) -> None:
    await paused(store)
    lines, wrong = await exported(store), cast(Any, MemoryCheckpointer)
    for asked in (
        exported(wrong),
        import_run(wrong, lines),
        copy_run(wrong, "r", store, new_id="new"),
        copy_run(store, "r", wrong),
        prune(wrong, older_than_s=1),
    ):
        with pytest.raises(ConfigError, match=r"must be a store, as SqliteCheckpointer\(path\); got <class"):
            await asked


async def test_every_line_is_json_and_the_first_describes_the_run(store: Checkpointer) -> None:
    await paused(store)
    first, *records, last = [json.loads(line) for line in await exported(store)]
    assert (first["loom_run"], first["run_id"], first["graph"], first["status"]) == (1, "r", "trip", "paused")
    assert records[0]["kind"] == "input"
    assert last["records"] == len(records)


async def test_an_unknown_run_cannot_be_exported(store: Checkpointer) -> None:
    with pytest.raises(RunNotFoundError, match='no run "gone"'):
        await exported(store, "gone")


async def test_an_import_over_an_existing_run_is_refused_and_changes_nothing(store: Checkpointer) -> None:
    await paused(store)
    lines = await exported(store)
    before = await store.read("r")
    with pytest.raises(RunExistsError, match='run "r" exists already'):
        await import_run(store, lines)
    assert await store.read("r") == before


# Damage.


async def refused(store: Checkpointer, lines: list[str]) -> None:
    with pytest.raises(CheckpointError, match="no exported run, or they are damaged or cut off"):
        await import_run(store, lines)
    assert await store.runs() == []


async def test_a_file_that_was_cut_off_anywhere_is_refused(other: Checkpointer) -> None:
    store = MemoryCheckpointer()
    await paused(store)
    lines = await exported(store)
    for kept in range(len(lines)):
        await refused(other, lines[:kept])
    for kept in range(1, len(lines[-1])):
        await refused(other, [*lines[:-1], lines[-1][:kept]])


async def test_a_changed_missing_doubled_or_swapped_line_is_refused(other: Checkpointer) -> None:
    store = MemoryCheckpointer()
    await paused(store)
    lines = await exported(store)
    for number, line in enumerate(lines[:-1]):
        await refused(other, [*lines[:number], line.replace("e", "3", 1), *lines[number + 1 :]])
        await refused(other, [*lines[:number], *lines[number + 1 :]])
        await refused(other, [*lines[:number], line, *lines[number:]])
    await refused(other, [lines[0], lines[2], lines[1], *lines[3:]])


@pytest.mark.parametrize("lines", [[], [""], ["{}"], ["[]", "[]"], ["no json"], ["1", "2"], ['{"loom_run":1}'] * 2])
async def test_what_is_no_exported_run_is_refused(lines: list[str], other: Checkpointer) -> None:
    await refused(other, lines)


async def test_an_export_of_another_version_is_refused(other: Checkpointer) -> None:
    store = MemoryCheckpointer()
    await paused(store)
    first, *rest = await exported(store)
    newer = [first.replace('"loom_run": 1', '"loom_run": 2'), *rest]
    with pytest.raises(CheckpointError, match=r"exported in format 2, .* this version of Loom reads format 1"):
        await import_run(other, newer)
    assert await other.runs() == []


async def test_a_flipped_bit_anywhere_is_refused(other: Checkpointer, tmp_path: Path) -> None:
    store, chance, path = MemoryCheckpointer(), Random(9), tmp_path / "run.jsonl"
    await paused(store)
    whole = "".join(f"{line}\n" for line in await exported(store)).encode()
    for place in range(len(whole) - 1):  # the last line end alone says nothing
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        with path.open(encoding="utf-8", newline="\n") as file, pytest.raises(CheckpointError, match="damaged"):
            await import_run(other, file)
    assert await other.runs() == []


@pytest.mark.parametrize(("name", "value"), [("status", "done"), ("graph", 3), ("header", []), ("run_id", None)])
async def test_a_description_made_by_hand_is_refused(name: str, value: object, other: Checkpointer) -> None:
    store = MemoryCheckpointer()
    await paused(store)
    first, *records, _ = await exported(store)
    lines = [json.dumps(json.loads(first) | {name: value}), *records]
    end = json.dumps({"records": len(records), "checksum": zlib.crc32("".join(lines).encode())})
    await refused(other, [*lines, end])


async def test_an_import_that_the_store_fails_leaves_nothing(store: Checkpointer) -> None:
    class Full(MemoryCheckpointer):
        async def append(
            self, claim: Claim, records: Sequence[bytes], status: Status = "running", snapshot: bytes | None = None
        ) -> None:
            raise CheckpointError("the disk is full")

    await paused(store)
    full = Full()
    with pytest.raises(CheckpointError, match="the disk is full"):
        await import_run(full, await exported(store))
    assert await full.runs() == []


async def test_bytes_that_are_no_text_are_damage(other: Checkpointer, tmp_path: Path) -> None:
    store = MemoryCheckpointer()
    await paused(store)
    path = tmp_path / "run.jsonl"
    text = "\n".join(await exported(store)).encode()
    middle = text.index("漢".encode())
    path.write_bytes(text[:middle] + b"\xff" + text[middle + 1 :])
    for errors in ("strict", "surrogateescape", "replace"):
        with path.open(encoding="utf-8", errors=errors) as file, pytest.raises(CheckpointError, match="damaged"):
            await import_run(other, file)
    assert await other.runs() == []


# Copying.


async def test_a_copy_in_another_store_goes_on_by_itself(store: Checkpointer, other: Checkpointer) -> None:
    await paused(store)
    assert await copy_run(store, "r", other) == "r"
    assert (await finished(other, "r"))[-1] == "arrived after 3"
    assert (await store.read("r")).status == "paused"


async def test_a_copy_under_another_id_knows_where_it_is_from(store: Checkpointer) -> None:
    await paused(store)
    assert await copy_run(store, "r", store, new_id="copy") == "copy"
    assert [(run.run_id, run.parent) for run in await store.runs()] == [("copy", "r"), ("r", None)]
    assert (await finished(store, "copy"))[-1] == "arrived after 3"
    assert (await store.read("r")).status == "paused"


async def test_a_copy_over_an_existing_run_is_refused(store: Checkpointer) -> None:
    await paused(store)
    with pytest.raises(RunExistsError):
        await copy_run(store, "r", store)
    with pytest.raises(RunNotFoundError):
        await copy_run(store, "gone", store)


async def test_a_copy_of_a_run_at_work_is_free_while_the_run_is_not(store: Checkpointer, other: Checkpointer) -> None:
    app = trip()
    await paused(store)
    journal = await store.read("r")
    await store.create("working", "trip", journal.header, journal.records[:2])
    await copy_run(store, "working", other)
    with pytest.raises(RunConflictError):
        await app.resume("working", runtime=Runtime(checkpointer=store))
    assert (await app.resume("working", runtime=Runtime(checkpointer=other))).status == "paused"


# Clearing out.


async def three_runs(store: Checkpointer) -> float:
    """Make three runs, the last of which waits; return a time after them."""
    await paused(store, "a")
    await finished(store, "a")
    await paused(store, "b")
    await finished(store, "b")
    await paused(store, "c")
    return max(run.updated_at for run in await store.runs())


async def test_pruning_deletes_what_was_finished_long_ago_oldest_first(store: Checkpointer) -> None:
    newest = await three_runs(store)
    assert await prune(store, older_than_s=60, clock=lambda: newest + 59) == []
    assert await prune(store, older_than_s=60, clock=lambda: newest + 61) == ["a", "b"]
    assert [run.run_id for run in await store.runs()] == ["c"]
    with pytest.raises(RunNotFoundError):
        await store.read("a")


async def test_pruning_goes_by_the_statuses_it_is_told(store: Checkpointer) -> None:
    newest = await three_runs(store)
    assert await prune(store, older_than_s=60, statuses=("paused",), clock=lambda: newest + 61) == ["c"]
    assert await prune(store, older_than_s=60, statuses=(), clock=lambda: newest + 61) == []
    assert [run.run_id for run in await store.runs()] == ["b", "a"]


async def test_pruning_spares_what_changed_lately(store: Checkpointer) -> None:
    await three_runs(store)
    by_id = {run.run_id: run.updated_at for run in await store.runs()}
    between = (by_id["a"] + by_id["b"]) / 2
    assert await prune(store, older_than_s=60, clock=lambda: between + 60) == ["a"]


async def test_pruning_spares_what_is_at_work_and_takes_what_was_left(store: Checkpointer) -> None:
    await paused(store)
    journal = await store.read("r")
    at_work = await store.create("at work", "trip", journal.header, journal.records[:2])
    await store.release(await store.create("left", "trip", journal.header, journal.records[:2]))
    later = time.time() + 1000
    assert await prune(store, older_than_s=60, statuses=("running", "paused"), clock=lambda: later) == ["r", "left"]
    await store.append(at_work, journal.records[2:3])
    assert [run.run_id for run in await store.runs()] == ["at work"]


async def test_pruning_goes_by_the_last_sign_of_life_of_a_long_run(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store, child = SqliteCheckpointer(path), Child(partial(SqliteCheckpointer, path, lease_s=0.15), hold)
    assert child.said() == "begun"
    await anyio.sleep(0.5)
    child.kill()
    (run,) = await store.runs()
    by_its_beginning = run.created_at + 60.3
    assert await prune(store, older_than_s=60, statuses=("running",), clock=lambda: by_its_beginning) == []
    assert await prune(store, older_than_s=60, statuses=("running",), clock=lambda: run.created_at + 61) == ["r0"]
    await store.close()


async def test_pruning_spares_a_failed_run_with_open_asks_unless_asked(store: Checkpointer) -> None:
    await paused(store)
    journal = await store.read("r")
    claim = await store.create("failed", "trip", journal.header, journal.records[:-1])
    await store.append(claim, [b'{"kind":"end","status":"failed","at":1}'], "failed")
    later = time.time() + 1000
    assert await prune(store, older_than_s=60, statuses=("failed",), clock=lambda: later) == []
    assert await prune(store, older_than_s=60, statuses=("failed", "paused"), clock=lambda: later) == ["r", "failed"]


async def test_an_ask_whose_answer_was_refused_is_open(store: Checkpointer) -> None:
    await paused(store)
    journal = await store.read("r")
    (ask,) = [record for record in journal.records if b'"kind":"ask"' in record]
    answer = to_json({"kind": "answer", "id": from_json(ask)["id"], "value": 5, "at": 1})
    claim = await store.create("failed", "trip", journal.header, [*journal.records[:-1], answer, ask])
    await store.append(claim, [b'{"kind":"end","status":"failed","at":1}'], "failed")
    later = time.time() + 1000
    assert await prune(store, older_than_s=60, statuses=("failed",), clock=lambda: later) == []


async def test_pruning_says_what_it_cannot_do(store: Checkpointer) -> None:
    await paused(store)
    wrong: Any
    for wrong in (-1, "1", None, float("nan")):
        with pytest.raises(ConfigError, match=r"prune\(older_than_s=…\) must be a number of at least 0; got "):
            await prune(store, older_than_s=wrong)
    for wrong in (("done",), "completed", 5, (5, "done"), None):
        with pytest.raises(ConfigError, match=r'prune\(statuses=…\) must be a tuple of "cancelled", .*; got '):
            await prune(store, older_than_s=0, statuses=wrong)
    with pytest.raises(ConfigError, match=r"prune\(clock=…\) must give Unix seconds, a finite number; it gave nan"):
        await prune(store, older_than_s=0, statuses=("paused",), clock=lambda: float("nan"))
    assert len(await store.runs()) == 1


# The room.


def test_every_name_of_the_room_is_there() -> None:
    for name in loom.checkpoint.__all__:
        assert getattr(loom.checkpoint, name) is not None
    assert set(loom.checkpoint.__all__) <= set(dir(loom.checkpoint))
    with pytest.raises(AttributeError, match=r'module "loom\.checkpoint" has no name "nothing"'):
        _ = loom.checkpoint.nothing
