"""Evidence in documents that are given: passages ranked by BM25, each with its citation."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from pydantic_core import to_json

from loom.knowledge.index import Index
from loom.knowledge.passages import passages
from loom.types.knowledge import (
    KnowledgeCitation,
    KnowledgeEvidence,
    KnowledgeEvidenceItem,
    KnowledgeQuery,
    KnowledgeSource,
)

GOAL_WEIGHT: Final = 0.3  # of a goal's words beside those of the question


class _Passage(NamedTuple):
    document: int
    start: int
    end: int


def evidence_in(source: KnowledgeSource, query: KnowledgeQuery) -> KnowledgeEvidence:
    """Return the passages of a source's documents that fit best, at most `query.top_k`.

    A passage's score is its share of the score that the question itself would get as a passage, and
    `GOAL_WEIGHT` times that for the goal, at most 1. What scores below `query.min_score` is left out, so there may be
    nothing. Of equal passages the earlier comes first; of equal documents only the first counts.
    """
    found, index = _indexed(tuple((document.title, document.content) for document in source.documents))
    scores: defaultdict[int, float] = defaultdict(float)
    for text, weight in ((query.text, 1.0), (query.goal, GOAL_WEIGHT)):
        for hit in index.search(text):
            scores[hit.number] += weight * hit.score
    ranked = sorted(scores.items(), key=lambda scored: (-scored[1], scored[0]))
    best = [(found[number], min(1.0, score)) for number, score in ranked if score >= query.min_score][: query.top_k]
    citations = [_citation(source, passage) for passage, _ in best]
    return KnowledgeEvidence(
        query=query,
        items=[
            KnowledgeEvidenceItem(
                source_name=source.name,
                content=citation.snippet,
                title=citation.title,
                uri=citation.uri,
                score=score,
                id=citation.id,
                metadata=citation.metadata,
            )
            for citation, (_, score) in zip(citations, best, strict=True)
        ],
        citations=citations,
        relevance_score=best[0][1] if best else None,
    )


# By value: a source's list of documents can be changed in place.
@lru_cache(maxsize=32)
def _indexed(documents: tuple[tuple[str, str], ...]) -> tuple[list[_Passage], Index]:
    found = list(_passages(documents))
    return found, Index([(documents[at][0], documents[at][1][start:end]) for at, start, end in found])


def _passages(documents: tuple[tuple[str, str], ...]) -> Iterator[_Passage]:
    first = {document: number for number, document in reversed(list(enumerate(documents)))}
    for number, document in enumerate(documents):
        if first[document] == number:
            yield from (_Passage(number, start, end) for start, end in passages(document[1]))


def _citation(source: KnowledgeSource, passage: _Passage) -> KnowledgeCitation:
    document = source.documents[passage.document]
    place = (source.name, document.title, document.uri, document.content, passage.start, passage.end)
    return KnowledgeCitation(
        source_name=source.name,
        title=document.title,
        uri=document.uri,
        snippet=document.content[passage.start : passage.end],
        id=hashlib.sha256(to_json(place)).hexdigest()[:16],
        document=passage.document,
        start=passage.start,
        end=passage.end,
        metadata=document.metadata,
    )
