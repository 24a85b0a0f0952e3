"""All sources asked at once."""

from collections.abc import Sequence

from loom.errors import ConfigError, did_you_mean, quoted, short
from loom.types.knowledge import KnowledgeBundle, KnowledgeQuery, KnowledgeSource, check_query


def resolve(query: KnowledgeQuery, sources: Sequence[KnowledgeSource]) -> KnowledgeBundle:
    """Ask the sources that the query names, or all, in the order given.

    Items are sorted by score, the highest first, one without a score as if it had 0; equal ones stay in order. A source
    that finds nothing is left out.

    Raises:
        ConfigError: the query is none, or names a source that is not there; two sources have one name, or one is
            none; or a resolver returned something else than evidence.
        Exception: whatever a resolver raises.
    """
    check_query(query)
    for source in sources:
        if not isinstance(source, KnowledgeSource):
            raise ConfigError(f"a source must be KnowledgeSource; got {type(source).__name__}: {short(source)}")
    named = {source.name: source for source in sources}
    if len(named) < len(sources):
        names = [source.name for source in sources]
        twice = {name for name in names if names.count(name) > 1}
        raise ConfigError(f"knowledge sources have names of their own; twice there is {quoted(twice)}")
    for name in query.source_names:
        if name not in named:
            known = f"there is {quoted(named)}.{did_you_mean(name, named)}"
            raise ConfigError(f'KnowledgeQuery(source_names=…) names "{name}", but {known}')
    found = [source.resolve(query) for source in sources if not query.source_names or source.name in query.source_names]
    evidences = [evidence for evidence in found if evidence.items or evidence.citations]
    relevant = [evidence.relevance_score for evidence in evidences if evidence.relevance_score is not None]
    items = [item for evidence in evidences for item in evidence.items]
    return KnowledgeBundle(
        query=query,
        evidences=evidences,
        items=sorted(items, key=lambda item: -(item.score or 0.0)),
        citations=[citation for evidence in evidences for citation in evidence.citations],
        relevance_score=sum(relevant) / len(relevant) if relevant else None,
    )
