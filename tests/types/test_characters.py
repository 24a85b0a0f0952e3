"""Tests of texts that hold halves of characters."""

import pytest

from loom.types.characters import mended

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
