import time

import pytest

from loom.knowledge.inline import evidence_in
from loom.types import KnowledgeDocument, KnowledgeQuery, KnowledgeSource

DOCS = KnowledgeSource.inline(
    "deployment-docs",
    [
        KnowledgeDocument(content="Staging deploys are automatic.", title="Staging", uri="docs/staging.md"),
        KnowledgeDocument(
            content="Production deploys require approval.", title="Production", metadata={"owner": "ops"}
        ),
    ],
)


def ask(
    text: str, *, goal: str = "", top_k: int = 5, min_score: float = 0.1, source: KnowledgeSource = DOCS
) -> list[str]:
    query = KnowledgeQuery(text=text, goal=goal, top_k=top_k, min_score=min_score)
    return [item.title or item.content for item in evidence_in(source, query).items]


def test_the_document_that_answers_comes_first() -> None:
    assert ask("What are the production deployment rules?")[0] == "Production"
    assert ask("Are deploys to staging automatic?")[0] == "Staging"


def test_every_item_has_a_citation_that_is_the_source_word_for_word() -> None:
    words = ["beginning", "middle", "colour", "price", "end"]
    text = "\n\n".join(f"  Chapter {at}: the {words[at]} of things. {'More to say. ' * 60}" for at in range(5))
    source = KnowledgeSource.inline("book", ["Nothing here.", KnowledgeDocument(content=text, title="Book")])
    found = evidence_in(source, KnowledgeQuery(text="price of things", top_k=10, min_score=0))
    assert "price of things" in found.items[0].content
    assert len(found.items) == len(found.citations) == 5
    for item, citation in zip(found.items, found.citations, strict=True):
        assert (item.id, item.source_name, item.title) == (citation.id, "book", "Book")
        assert citation.document == 1
        assert source.documents[1].content[citation.start : citation.end] == citation.snippet == item.content
    assert len({citation.id for citation in found.citations}) == 5


def test_what_a_document_says_of_itself_comes_along() -> None:
    found = evidence_in(DOCS, KnowledgeQuery(text="approval"))
    assert found.items[0].metadata == found.citations[0].metadata == {"owner": "ops"}
    assert evidence_in(DOCS, KnowledgeQuery(text="automatic")).citations[0].uri == "docs/staging.md"


def test_an_id_is_that_of_source_document_and_place() -> None:
    def cited(source: KnowledgeSource) -> str:
        return evidence_in(source, KnowledgeQuery(text="production")).citations[0].id

    again = KnowledgeSource.inline("deployment-docs", list(reversed(DOCS.documents)))
    other = KnowledgeSource.inline("other", DOCS.documents)
    changed = KnowledgeSource.inline("deployment-docs", [KnowledgeDocument(content="production!", title="Production")])
    assert cited(DOCS) == cited(again)
    assert len({cited(DOCS), cited(other), cited(changed)}) == 3


def test_nothing_is_found_rather_than_filler() -> None:
    found = evidence_in(DOCS, KnowledgeQuery(text="What is the capital of France?"))
    assert (found.items, found.citations, found.relevance_score) == ([], [], None)
    assert ask("approval", min_score=0.7) == []
    assert ask("approval", min_score=0.6) == ["Production"]


def test_a_goal_counts_less_than_the_question_and_never_lowers_a_score() -> None:
    source = KnowledgeSource.inline("s", ["pears grow here", "apples grow here", "apples, pears"])
    assert ask("apples", goal="pears", source=source) == ["apples, pears", "apples grow here", "pears grow here"]
    plain = evidence_in(source, KnowledgeQuery(text="apples"))
    helped = evidence_in(source, KnowledgeQuery(text="apples", goal="plums"))
    assert helped.items == plain.items


def test_no_more_than_top_k_are_found_and_the_score_is_the_best_ones() -> None:
    assert ask("deploys", top_k=1) == ["Staging"]
    found = evidence_in(DOCS, KnowledgeQuery(text="production deploys"))
    scores = [item.score for item in found.items if item.score is not None]
    assert scores == sorted(scores, reverse=True)
    assert found.relevance_score == scores[0]


def test_equal_documents_count_once() -> None:
    assert ask("apples", source=KnowledgeSource.inline("s", ["red apples", "red apples", "green apples"])) == [
        "red apples",
        "green apples",
    ]


def test_a_document_added_later_is_found() -> None:
    source = KnowledgeSource.inline("s", ["apples"])
    assert ask("pears", source=source) == []
    source.documents.append(KnowledgeDocument(content="pears"))
    assert ask("pears", source=source) == ["pears"]


@pytest.mark.parametrize("documents", [[], [""], [" \n"], ["\0\ud800"]])
def test_a_source_may_have_nothing_to_say(documents: list[str]) -> None:
    assert ask("anything", source=KnowledgeSource.inline("s", documents)) == []


def test_a_second_search_takes_no_second_index() -> None:
    source = KnowledgeSource.inline("s", [f"document {number} on {'many words ' * 100}" for number in range(1000)])
    times: list[float] = []
    for _ in range(4):
        began = time.perf_counter()
        ask("document 500", source=source)
        times.append(time.perf_counter() - began)
    assert min(times[1:]) < times[0] / 3
