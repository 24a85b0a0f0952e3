from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.knowledge.index import MAX_WORDS, Index

FRUIT = [("", "Apples are red and round."), ("", "Bananas are yellow."), ("", "Cherries are red, small and round.")]


def found(index: Index, query: str) -> list[int]:
    return [hit.number for hit in index.search(query)]


def test_the_best_text_comes_first() -> None:
    assert found(Index(FRUIT), "small red cherries") == [2, 0]
    assert found(Index(FRUIT), "Which are yellow?") == [1]


def test_a_word_is_found_in_its_other_forms() -> None:
    index = Index([("", "Deployments to Zürich need approvals.")])
    for query in ("deployment", "approval", "zurich", "ZÜRICH", "\uff41pprovals"):
        assert found(index, query) == [0], query


def test_a_title_counts_more_than_the_text() -> None:
    index = Index([("Fruit", "red apples"), ("Apples", "red fruit")])
    assert found(index, "apples") == [1, 0]


def test_equal_texts_stay_in_order() -> None:
    index = Index([("", f"the same words {name}") for name in "abcdefgh"])
    assert found(index, "same words") == list(range(8))


def test_scores_are_from_0_to_1_and_the_question_itself_has_the_most() -> None:
    index = Index([("", "red"), ("", "red apples and a lot more to say on other things, more than is wanted")])
    (best, other) = index.search("red")
    assert (best.number, other.number) == (0, 1)
    assert best.score == pytest.approx(1.0, abs=1e-6)
    assert 0 < other.score < 0.6


def test_a_word_that_no_text_has_lowers_the_score() -> None:
    index = Index(FRUIT)
    assert index.search("yellow")[0].score > 2 * index.search("yellow submarine")[0].score > 0


def test_a_word_that_all_of_few_texts_have_still_counts() -> None:
    assert Index([("", "The office closes at five.")]).search("office")[0].score > 0.3


def test_words_that_say_nothing_count_only_where_there_are_no_others() -> None:
    index = Index([("", "To be or not to be"), ("", "That is what we are")])
    assert found(index, "what is the question") == []
    assert found(index, "to be") == [0]


def test_texts_without_spaces_between_words_are_found() -> None:
    index = Index([("", "测试环境自动部署。"), ("", "生产环境部署需要审批。"), ("", "カタカナ")])
    assert found(index, "生产部署规则")[0] == 1
    assert found(index, "審批") == found(index, "批") == [1]
    assert found(index, "タカ") == [2]


@pytest.mark.parametrize(
    "query",
    [
        "", "   ", "?!", '"', '""', "red OR", "AND", "NOT red", "NEAR(red small)", "red*", "^red", "title:red",
        "red AND (", "-red", "{title text}: red", "\ud800", "\ue000", "'; DROP TABLE texts; --", "🍎", "a_b", "\0", "́",
    ],
)  # fmt: skip
def test_any_text_is_a_query(query: str) -> None:
    assert set(found(Index(FRUIT), query)) <= ({0, 2} if "red" in query or query == "AND" else set())


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_text_can_be_asked_for_and_searched(query: str, texts: list[str]) -> None:
    hits = Index([(text, text) for text in texts]).search(query)
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_a_query_can_be_a_book() -> None:
    words = [f"word{number}" for number in range(50_000)]
    index = Index([("", words[0]), ("", words[MAX_WORDS - 1]), ("", words[MAX_WORDS])])
    assert found(index, " ".join(words)) == [0, 1]


def test_a_search_leaves_no_trace() -> None:
    index = Index(FRUIT)
    before = index.search("red")
    for query in ("yellow yellow", "round", "", "red"):
        index.search(query)
    assert index.search("red") == before


def test_threads_may_search_at_once() -> None:
    index = Index(FRUIT)
    with ThreadPoolExecutor(8) as pool:
        assert all(numbers == [2, 0] for numbers in pool.map(found, [index] * 200, ["small red"] * 200))
