from typing import Any

import pytest

from loom import ConfigError
from loom.types import (
    KnowledgeBundle,
    KnowledgeCitation,
    KnowledgeDocument,
    KnowledgeEvidence,
    KnowledgeEvidenceItem,
    KnowledgeQuery,
    KnowledgeResolver,
    KnowledgeSource,
)

QUERY = KnowledgeQuery(text="When?")


def empty(query: KnowledgeQuery) -> KnowledgeEvidence:
    return KnowledgeEvidence(query=query)


@pytest.mark.parametrize(
    ("record", "payload"),
    [
        (KnowledgeDocument(content="a"), {"content": "a"}),
        (KnowledgeDocument(content="a", metadata={"n": 1}), {"content": "a", "metadata": {"n": 1}}),
        (KnowledgeQuery(text="a"), {"text": "a", "top_k": 5}),
        (KnowledgeQuery(text="a", source_names=["s"], top_k=1), {"text": "a", "top_k": 1, "source_names": ["s"]}),
        (KnowledgeCitation(source_name="s"), {"source_name": "s"}),
        (KnowledgeCitation(source_name="s", document=0, start=0), {"source_name": "s", "document": 0, "start": 0}),
        (
            KnowledgeEvidenceItem(source_name="s", content="a", score=0.0),
            {"source_name": "s", "content": "a", "score": 0},
        ),
        (KnowledgeEvidence(query=QUERY), {"query": {"text": "When?", "top_k": 5}}),
        (
            KnowledgeBundle(query=QUERY, relevance_score=0.5),
            {"query": {"text": "When?", "top_k": 5}, "relevance_score": 0.5},
        ),
        (KnowledgeResolver.callable(empty, description="none"), {"mode": "callable", "description": "none"}),
        (KnowledgeSource.inline("s", ["a"]), {"name": "s", "documents": [{"content": "a"}]}),
        (
            KnowledgeSource.dynamic("s", KnowledgeResolver.callable(empty)),
            {"name": "s", "resolver": {"mode": "callable"}},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_payload_leaves_out_what_is_empty(record: Any, payload: dict[str, Any]) -> None:
    assert record.to_context_payload() == payload


def test_a_text_stands_once_in_a_payload_and_a_citation_refers_to_it() -> None:
    item = KnowledgeEvidenceItem(source_name="s", content="whole", id="1")
    same = KnowledgeCitation(source_name="s", snippet="whole", id="1")
    other = KnowledgeCitation(source_name="s", snippet="part", id="1")
    payload = KnowledgeBundle(query=QUERY, items=[item], citations=[same, other]).to_context_payload()
    assert payload["citations"] == [{"source_name": "s", "id": "1"}, {"source_name": "s", "snippet": "part", "id": "1"}]


def test_texts_are_documents() -> None:
    document = KnowledgeDocument(content="b", title="B")
    source = KnowledgeSource.inline("s", ["a", document], description="letters", metadata={"n": 1})
    assert source.documents == [KnowledgeDocument(content="a"), document]
    assert (source.description, source.metadata, source.resolver) == ("letters", {"n": 1}, None)


def test_an_inline_source_finds_its_own_documents() -> None:
    source = KnowledgeSource.inline("s", ["Apples are red.", "Bananas are yellow."])
    found = source.resolve(KnowledgeQuery(text="yellow bananas"))
    assert [item.content for item in found.items] == ["Bananas are yellow."]


def test_a_dynamic_source_is_asked_anew_for_each_query() -> None:
    asked: list[str] = []

    def find(query: KnowledgeQuery) -> KnowledgeEvidence:
        asked.append(query.text)
        return KnowledgeEvidence(query=query, items=[KnowledgeEvidenceItem(source_name="s", content=query.text)])

    source = KnowledgeSource.dynamic("s", KnowledgeResolver.callable(find))
    assert source.resolve(QUERY) == source.resolve(QUERY)
    assert asked == ["When?", "When?"]


def test_a_source_that_is_not_named_is_not_asked() -> None:
    def fail(_query: KnowledgeQuery) -> KnowledgeEvidence:
        raise AssertionError

    query = KnowledgeQuery(text="x", source_names=["t"])
    assert KnowledgeSource.dynamic("s", KnowledgeResolver.callable(fail)).resolve(query) == empty(query)


def test_of_what_a_resolver_finds_the_best_is_kept_with_its_citations() -> None:
    scores = {"a": 0.1, "b": None, "c": 0.9, "d": 0.5}
    items = [
        KnowledgeEvidenceItem(source_name="s", content=f"text {key}", id=key, score=n) for key, n in scores.items()
    ]
    by_id = [KnowledgeCitation(source_name="s", id=key, title=key) for key in scores]
    by_text = [KnowledgeCitation(source_name="s", snippet=f"text {key}", title=f"2{key}") for key in scores]
    loose = [KnowledgeCitation(source_name="s", title=f"loose {number}") for number in range(3)]

    def find(query: KnowledgeQuery) -> KnowledgeEvidence:
        return KnowledgeEvidence(query=query, items=items, citations=[*by_id, *by_text, *loose], relevance_score=0.4)

    source = KnowledgeSource.dynamic("s", KnowledgeResolver.callable(find))
    found = source.resolve(KnowledgeQuery(text="x", top_k=2))
    assert [item.id for item in found.items] == ["c", "d"]
    assert [citation.title for citation in found.citations] == ["c", "d", "2c", "2d", "loose 0", "loose 1", "loose 2"]
    assert found.relevance_score == 0.4
    assert source.resolve(KnowledgeQuery(text="x", top_k=4)).items == items


@pytest.mark.parametrize(
    "cited",
    [
        {"uri": "https://docs/{}", "snippet": "long text"},
        {"uri": "https://docs/{}"},
        {"snippet": "text {}"},
        {"uri": "https://elsewhere", "snippet": "text {}"},
    ],
    ids=repr,
)
def test_a_citation_belongs_to_the_item_of_its_uri_and_to_that_whose_text_it_shows_a_part_of(
    cited: dict[str, str],
) -> None:
    def of(number: int) -> KnowledgeCitation:
        uri, snippet = (cited.get(field, "").format(number) for field in ("uri", "snippet"))
        return KnowledgeCitation(source_name="s", title=f"{number}", uri=uri, snippet=snippet)

    items = [
        KnowledgeEvidenceItem(
            source_name="s", content=f"A long text {n}, no less.", uri=f"https://docs/{n}", score=n / 10
        )
        for n in range(4)
    ]
    found = KnowledgeEvidence(query=QUERY, items=items, citations=[of(n) for n in range(4)])
    source = KnowledgeSource.dynamic("s", KnowledgeResolver.callable(lambda _query: found))
    best = source.resolve(KnowledgeQuery(text="x", top_k=2))
    assert [item.uri for item in best.items] == ["https://docs/2", "https://docs/3"]
    assert [citation.title for citation in best.citations][-2:] == ["2", "3"]
    assert len(best.citations) == (4 if "long text" in cited.values() else 2)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "0.5", True])
def test_a_score_is_a_number_that_can_be_compared(score: Any) -> None:
    def find(query: KnowledgeQuery) -> KnowledgeEvidence:
        return KnowledgeEvidence(query=query, items=[KnowledgeEvidenceItem(source_name="s", content="", score=score)])

    with pytest.raises(ConfigError, match=r'source "s": KnowledgeEvidenceItem\(score=…\) must be'):
        KnowledgeSource.dynamic("s", KnowledgeResolver.callable(find)).resolve(QUERY)
    with pytest.raises(ConfigError, match=r"KnowledgeEvidence\(relevance_score=…\) must be"):
        KnowledgeEvidence(query=QUERY, relevance_score=score)


def test_a_source_is_asked_with_a_query() -> None:
    text: Any = "When?"
    with pytest.raises(ConfigError, match=r"a query must be KnowledgeQuery, .* got str: 'When\?'"):
        KnowledgeSource.inline("s", ["a"]).resolve(text)


async def late(query: KnowledgeQuery) -> KnowledgeEvidence:
    return KnowledgeEvidence(query=query)


@pytest.mark.parametrize("returned", [None, ["text"], {"items": []}])
def test_a_resolver_that_returns_something_else_is_named_with_its_source(returned: object) -> None:
    def find(_query: KnowledgeQuery) -> Any:
        return returned

    source = KnowledgeSource.dynamic("docs", KnowledgeResolver.callable(find))
    told = f'knowledge source "docs": resolver ".*find" must return KnowledgeEvidence, got {type(returned).__name__}'
    with pytest.raises(ConfigError, match=told):
        source.resolve(QUERY)


def test_an_async_resolver_is_refused() -> None:
    with pytest.raises(ConfigError, match='KnowledgeResolver has the async handler "late"; a resolver is a plain def'):
        KnowledgeResolver.callable(late)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def hidden(query: KnowledgeQuery) -> Any:
        return late(query)

    with pytest.raises(ConfigError, match="must return KnowledgeEvidence, got coroutine"):
        KnowledgeSource.dynamic("docs", KnowledgeResolver.callable(hidden)).resolve(QUERY)


def test_what_a_resolver_raises_names_its_source() -> None:
    def find(_query: KnowledgeQuery) -> KnowledgeEvidence:
        raise TimeoutError("too slow")

    with pytest.raises(TimeoutError, match="too slow") as caught:
        KnowledgeSource.dynamic("docs", KnowledgeResolver.callable(find)).resolve(QUERY)
    assert caught.value.__notes__ == ['knowledge source "docs"']


# Any: all of these are what a type checker forbids.
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: KnowledgeQuery(text="a", top_k=0), r"KnowledgeQuery\(top_k=…\) must be greater than or equal to 1"),
        (
            lambda: KnowledgeQuery(text="a", min_score=2),
            r"KnowledgeQuery\(min_score=…\) must be less than or equal to 1",
        ),
        (lambda: KnowledgeSource(name=""), r"KnowledgeSource\(name=…\)"),
        (lambda: KnowledgeSource.inline("s", "text"), r"KnowledgeSource\(documents=…\) must be list, got str"),
        (lambda: KnowledgeSource.inline("s", [{"content": "a"}]), r"KnowledgeSource\(documents\[0\]=…\) must be"),  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
        (
            lambda: KnowledgeSource(
                name="s", documents=[KnowledgeDocument(content="a")], resolver=KnowledgeResolver.callable(empty)
            ),
            '"s" has documents and a resolver; make two sources of them',
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()
