"""Tests of what a model is shown of a result."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.tools.results import Redactor, shortened
from loom.types.content import ImageBlock, TextBlock

IMAGE = ImageBlock(source={"type": "url", "url": "https://example.com/x.png"})


def test_a_short_text_is_shown_as_it_is() -> None:
    assert shortened("x" * 10, 10) == ("x" * 10, {})


def test_of_a_long_text_head_and_tail_are_shown_and_the_whole_is_kept() -> None:
    whole = "a" * 60 + "b" * 60
    shown, kept = shortened(whole, 11)
    ref = "out_" + hashlib.sha256(whole.encode()).hexdigest()[:16]
    assert kept == {ref: whole}
    assert shown == f"aaaaaa\n[… 109 of 120 characters left out; the whole output is kept as {ref} …]\nbbbbb"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), st.integers(1, 100))
def test_no_more_than_the_limit_is_shown_and_nothing_is_lost(whole: str, limit: int) -> None:
    shown, kept = shortened(whole, limit)
    assert isinstance(shown, str)
    if len(whole) <= limit:
        assert (shown, kept) == (whole, {})
    else:
        head = limit - limit // 2
        assert shown.startswith(whole[:head] + "\n[… ")
        assert shown.endswith(" …]\n" + whole[len(whole) - limit // 2 :])
        assert list(kept.values()) == [whole]


def test_text_blocks_share_the_limit_and_images_stay() -> None:
    shown, kept = shortened((TextBlock(text="a" * 8), IMAGE, TextBlock(text="b" * 8)), 10)
    assert not isinstance(shown, str)
    first, image, last = shown
    assert (first, image) == (TextBlock(text="a" * 8), IMAGE)
    assert isinstance(last, TextBlock)
    assert last.text.startswith("b\n[… 6 of 8 characters left out")
    assert list(kept.values()) == ["b" * 8]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key=sk-1234 and sk-12", "key=[redacted] and [redacted]"),
        ("nothing", "nothing"),
        ('{"password":"pa\\"ss\\\\word"}', '{"password":"[redacted]"}'),
        ('pa"ss\\word', "[redacted]"),
        ("[redacted]", "[redacted]"),
    ],
)
def test_secrets_are_replaced_the_longest_first_also_as_json_writes_them(text: str, clean: str) -> None:
    redactor = Redactor(["sk-12", "sk-1234", 'pa"ss\\word', "", "act"])
    assert redactor.clean(text) == clean
    assert redactor.clean(clean) == clean
    content = redactor.clean_content((TextBlock(text=text), IMAGE))
    assert content == (TextBlock(text=clean), IMAGE)
    assert redactor.clean_content(text) == clean


def test_a_secret_that_comes_later_is_replaced_too_and_none_is_forgotten() -> None:
    secrets = ["sk-12"]
    redactor = Redactor(secrets)
    assert redactor.clean("sk-12 key-9") == "[redacted] key-9"
    secrets[:] = ["key-9"]
    assert redactor.clean("sk-12 key-9") == "[redacted] [redacted]"


def test_halves_of_characters_are_replaced_and_pairs_put_together() -> None:
    assert Redactor([]).clean("a\ud800b\ud83d\ude00é") == "a\ufffdb\U0001f600é"


def test_without_secrets_everything_stays() -> None:
    assert Redactor([]).clean("x") == "x"
    assert Redactor([""]).clean_content((IMAGE,)) == (IMAGE,)
