"""Tests of texts that hold halves of characters."""

import pytest

from loom.types.characters import Pieces, mended

HIGH, LOW, LOST = "\ud83d", "\ude00", "\ufffd"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("plain", "plain"),
        ("\ufeffé日本😀", "\ufeffé日本😀"),
        (f"a{HIGH}{LOW}b", "a😀b"),
        (f"{HIGH}b", f"{LOST}b"),
        (f"a{LOW}", f"a{LOST}"),
        (f"{LOW}{HIGH}", f"{LOST}{LOST}"),
        (f"{HIGH}{HIGH}{LOW}", f"{LOST}😀"),
    ],
)
def test_halves_that_fit_are_joined_and_others_replaced(text: str, whole: str) -> None:
    assert mended(text) == whole
    assert mended(whole) == whole


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
