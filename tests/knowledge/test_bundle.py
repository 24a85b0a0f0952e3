from typing import Any

import pytest

from loom import ConfigError
from loom.knowledge import resolve
from loom.types import (
    KnowledgeCitation,
    KnowledgeEvidence,
    KnowledgeEvidenceItem,
    KnowledgeQuery,
    KnowledgeResolver,
    KnowledgeSource,
)


def fixed(name: str, scores: dict[str, float | None], relevance: float | None = None) -> KnowledgeSource:
    def find(query: KnowledgeQuery) -> KnowledgeEvidence:
        return KnowledgeEvidence(
            query=query,
            items=[
                KnowledgeEvidenceItem(source_name=name, content=text, score=score) for text, score in scores.items()
            ],
            citations=[KnowledgeCitation(source_name=name, snippet=text) for text in scores],
            relevance_score=relevance,
        )

    return KnowledgeSource.dynamic(name, KnowledgeResolver.callable(find))


APPLES = KnowledgeSource.inline("apples", ["Apples are red."])
PEARS = KnowledgeSource.inline("pears", ["Pears are green."])


def test_all_sources_are_asked_and_the_best_items_come_first() -> None:
    one = fixed("one", {"a": 0.5, "b": None, "c": 0.9}, 0.4)
    two = fixed("two", {"d": 0.5, "e": -1, "f": 0}, 0.8)
    bundle = resolve(KnowledgeQuery(text="x"), [one, two])
    assert [item.content for item in bundle.items] == ["c", "a", "d", "b", "f", "e"]
    assert [citation.snippet for citation in bundle.citations] == ["a", "b", "c", "d", "e", "f"]
    assert [evidence.relevance_score for evidence in bundle.evidences] == [0.4, 0.8]
    assert bundle.relevance_score == pytest.approx(0.6)


def test_a_source_that_finds_nothing_is_left_out() -> None:
    bundle = resolve(
        KnowledgeQuery(text="red apples"), [fixed("none", {}, 0.0), APPLES, PEARS, fixed("unsure", {"a": None})]
    )
    assert [evidence.items[0].source_name for evidence in bundle.evidences] == ["apples", "unsure"]
    assert bundle.relevance_score == bundle.evidences[0].relevance_score
    assert resolve(KnowledgeQuery(text="plums"), [APPLES]).relevance_score is None
    assert resolve(KnowledgeQuery(text="plums"), []).items == []


def test_only_the_sources_that_a_query_names_are_asked() -> None:
    query = KnowledgeQuery(text="are apples red or green", source_names=["pears"])
    assert [item.source_name for item in resolve(query, [APPLES, PEARS]).items] == ["pears"]


def test_an_unknown_name_is_an_error_with_a_suggestion() -> None:
    query = KnowledgeQuery(text="x", source_names=["apple"])
    told = r'names "apple", but there is "apples", "pears". Did you mean "apples"\?'
    with pytest.raises(ConfigError, match=told):
        resolve(query, [APPLES, PEARS])


def test_two_sources_of_one_name_are_refused() -> None:
    for again in (KnowledgeSource.inline("apples", []), APPLES):
        with pytest.raises(ConfigError, match='twice there is "apples"'):
            resolve(KnowledgeQuery(text="x"), [APPLES, PEARS, again])


@pytest.mark.parametrize("query", ["red apples", None, {"text": "red apples"}])
def test_what_is_no_query_is_refused(query: Any) -> None:
    with pytest.raises(ConfigError, match=r'a query must be KnowledgeQuery, as in KnowledgeQuery\(text="…"\); got'):
        resolve(query, [APPLES])


def test_what_is_no_source_is_refused() -> None:
    sources: Any = [APPLES, "pears"]
    with pytest.raises(ConfigError, match="a source must be KnowledgeSource; got str: 'pears'"):
        resolve(KnowledgeQuery(text="x"), sources)


def test_of_every_source_at_most_as_many_items_come_as_the_query_wants() -> None:
    many: dict[str, float | None] = {f"c{number:02}": number / 50 for number in range(50)}
    bundle = resolve(KnowledgeQuery(text="red apples", top_k=3), [fixed("many", many, 0.7), APPLES])
    assert [item.content for item in bundle.items if item.source_name == "many"] == ["c49", "c48", "c47"]
    assert [citation.snippet for citation in bundle.citations] == ["c47", "c48", "c49", "Apples are red."]
    assert bundle.evidences[0].relevance_score == 0.7
