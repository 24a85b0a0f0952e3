import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.knowledge.passages import passages


@given(st.text(alphabet=st.sampled_from("ab. \n。"), max_size=200), st.integers(2, 30))
def test_passages_hold_all_but_white_space_and_do_not_overlap(text: str, limit: int) -> None:
    spans = list(passages(text, limit))
    at = 0
    for start, end in spans:
        assert text[at:start].strip() == ""
        assert 0 < end - start <= limit
        assert text[start:end] == text[start:end].strip()
        at = end
    assert text[at:].strip() == ""


def test_a_short_text_is_one_passage() -> None:
    assert list(passages(" one.\n\ntwo. ")) == [(1, 11)]
    assert list(passages("")) == list(passages(" \n ")) == []


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("aaaa bb. cc\n\ndd ee", ["aaaa bb. cc", "dd ee"]),
        ("aaaa bb. cc\ndd ee ff", ["aaaa bb. cc", "dd ee ff"]),
        ("aaaa bb. cc dd ee ff", ["aaaa bb.", "cc dd ee ff"]),
        ("aaaa bbb cc dd ee ff", ["aaaa bbb cc", "dd ee ff"]),
        ("aa\n\nbbbb cc dd ee", ["aa\n\nbbbb cc", "dd ee"]),
        ("aaaabbbbccccddddee", ["aaaabbbbcccc", "ddddee"]),
        ("一二三四五六七。八九十一二三四", ["一二三四五六七。", "八九十一二三四"]),
    ],
)
def test_a_long_text_is_cut_where_it_hurts_least(text: str, cut: list[str]) -> None:
    assert [text[start:end] for start, end in passages(text, limit=13 if "\n" in text else 12)] == cut
