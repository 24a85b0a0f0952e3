import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import loom.core.journal as module
from loom import CheckpointError, MemoryCheckpointer, NodeError, Runtime
from loom.core.journal import KINDS, Checkpointer, Journal, decode, encode
from tests.core.letters import chain, failing, fan

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


# Any: JSON.
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_record_is_read_as_it_was_written(more: dict[str, Any]) -> None:
    record = {**more, "kind": "step"}
    line = encode(record)
    assert b"\n" not in line
    assert decode(line, "r") == record


def test_what_is_no_unicode_becomes_a_question_mark() -> None:
    assert decode(encode({"kind": "end", "error": "caf\udce9"}), "r")["error"] == "caf?"


@pytest.mark.parametrize("record", [b"", b"{", b"{'kind': 1}", b'{"kind":"step"', b'\xff{"kind":"step"}'])
def test_a_record_that_is_no_json_is_an_error(record: bytes) -> None:
    with pytest.raises(CheckpointError, match='run "r" holds a record that is not JSON'):
        decode(record, "r")


@pytest.mark.parametrize(
    ("record", "kind"),
    [(b"[]", "list"), (b"null", "NoneType"), (b"7", "int"), (b"{}", "None"), (b'{"kind":"leap"}', "leap")],
)
def test_a_record_of_an_unknown_kind_is_an_error_that_names_the_known_ones(record: bytes, kind: str) -> None:
    with pytest.raises(CheckpointError, match=f'holds a record of kind "{kind}"; expected one of .*end, .*step'):
        decode(record, "r")


def test_every_kind_is_described() -> None:
    described = {line.split()[0] for line in (module.__doc__ or "").splitlines() if line.startswith("    ")}
    assert described >= KINDS


def test_the_head_of_a_journal_is_the_index_of_the_next_record() -> None:
    assert Journal("r", b"", [b"0", b"1"], "running").head == 2
    assert Journal("r", b"", [b"5", b"6"], "running", start=5).head == 7


def test_a_store_is_told_by_its_methods() -> None:
    assert isinstance(MemoryCheckpointer(), Checkpointer)
    assert not isinstance(object(), Checkpointer)


@pytest.mark.anyio
async def test_every_record_that_is_written_is_a_line_of_json_of_a_known_kind() -> None:
    store = MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    await fan("abj").run(run_id="fan", runtime=runtime)
    app = chain("ab", b=failing(ValueError('with "quotes" and\nlines')))
    with pytest.raises(NodeError):
        await app.run(run_id="chain", runtime=runtime)
    await app.resume("chain", runtime=runtime)
    for run_id in ("fan", "chain"):
        journal = await store.read(run_id)
        assert json.loads(journal.header)["format"] == module.FORMAT
        for record in journal.records:
            assert b"\n" not in record
            assert json.loads(record)["kind"] in KINDS
            assert isinstance(json.loads(record)["at"], float)
