"""Tests of texts whose pieces end in the middle of a character."""

import pytest

from loom.models.pieces import Pieces

HIGH, LOW, LOST = "\ud83d", "\ude00", "\ufffd"


@pytest.mark.parametrize(
    ("pieces", "shown", "rest"),
    [
        (["a", "b"], ["a", "b"], ""),
        ([f"a{HIGH}", f"{LOW}b"], ["a", "😀b"], ""),
        ([HIGH, LOW], ["", "😀"], ""),
        ([HIGH, "", LOW], ["", "", "😀"], ""),
        ([HIGH, "b"], ["", f"{LOST}b"], ""),
        ([f"é{HIGH}"], ["é"], LOST),
        ([HIGH, HIGH], ["", LOST], LOST),
        ([LOW], [LOST], ""),
    ],
)
def test_half_a_character_waits_for_the_next_piece(pieces: list[str], shown: list[str], rest: str) -> None:
    text = Pieces()
    assert [text.take(piece) for piece in pieces] == shown
    assert (text.rest(), text.rest()) == (rest, "")
