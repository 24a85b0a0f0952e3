"""What an agent may look up: documents and sources of them, queries, and the evidence found, with citations."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol, Self, cast, runtime_checkable

from pydantic import Field, model_validator

from loom.errors import ConfigError, short
from loom.types.settings import Settings

# Any, in this module: metadata is the user's own; a payload is JSON.

Score = Annotated[float, Field(allow_inf_nan=False)]


class KnowledgeDocument(Settings):
    """A text that can be looked up. `title` is searched too."""

    content: str
    title: str = ""
    uri: str = ""
    metadata: dict[str, Any] = {}

    def to_context_payload(self) -> dict[str, Any]:
        """Return it as JSON for a model, without what is empty."""
        return _payload(self)


class KnowledgeQuery(Settings):
    """A question to sources.

    `goal` is what the answer is for; it counts less than `text`. `top_k` is the most items of one source. Inline
    sources give nothing that scores below `min_score`, from 0 to 1. `source_names` are the sources to ask; none means
    all.
    """

    text: str
    goal: str = ""
    top_k: Annotated[int, Field(ge=1)] = 5
    source_names: list[str] = []
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.1
    metadata: dict[str, Any] = {}

    def to_context_payload(self) -> dict[str, Any]:
        """Return it as JSON for a model, without what is empty."""
        return _payload(self, but=("min_score",))


class KnowledgeCitation(Settings):
    """Where evidence is from. `snippet` is the source's own text, word for word.

    For a citation of an inline source `document` is the document's index in it, and `snippet` equals its
    `content[start:end]`. `id` names source, document and place, and is that of the item that it is for.
    """

    source_name: str
    title: str = ""
    uri: str = ""
    snippet: str = ""
    id: str = ""
    document: int | None = None
    start: int | None = None
    end: int | None = None
    metadata: dict[str, Any] = {}

    def to_context_payload(self) -> dict[str, Any]:
        """Return it as JSON for a model, without what is empty."""
        return _payload(self)


class KnowledgeEvidenceItem(Settings):
    """A text found. `score` tells how well it fits, higher is better; an inline source's is from 0 to 1."""

    source_name: str
    content: str
    title: str = ""
    uri: str = ""
    score: Score | None = None
    id: str = ""
    metadata: dict[str, Any] = {}

    def to_context_payload(self) -> dict[str, Any]:
        """Return it as JSON for a model, without what is empty."""
        return _payload(self)


class KnowledgeEvidence(Settings):
    """What one source found.

    `relevance_score` tells how well it answers; that of an inline source is its best item's score.
    """

    query: KnowledgeQuery
    items: list[KnowledgeEvidenceItem] = []
    citations: list[KnowledgeCitation] = []
    relevance_score: Score | None = None
    metadata: dict[str, Any] = {}

    def to_context_payload(self) -> dict[str, Any]:
        """Return it as JSON for a model, without what is empty; no text stands in it twice."""
        return _found(self)


class KnowledgeBundle(Settings):
    """What all sources found. `items` are sorted, the best first; citations are in the order of the sources.

    `relevance_score` is the mean of that of the evidences that have one.
    """

    query: KnowledgeQuery
    evidences: list[KnowledgeEvidence] = []
    items: list[KnowledgeEvidenceItem] = []
    citations: list[KnowledgeCitation] = []
    relevance_score: Score | None = None
    metadata: dict[str, Any] = {}

    def to_context_payload(self) -> dict[str, Any]:
        """Return it as JSON for a model, without what is empty; no text stands in it twice."""
        return _found(self, but=("evidences",))


class KnowledgeResolver(Settings):
    """A function that finds evidence. It is called anew for each query."""

    handler: Callable[[KnowledgeQuery], KnowledgeEvidence]
    mode: Literal["callable"] = "callable"
    description: str = ""

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        if inspect.iscoroutinefunction(self.handler):
            raise ConfigError(f'has the async handler "{_name(self.handler)}"; a resolver is a plain def')
        return self

    @classmethod
    def callable(
        cls, handler: Callable[[KnowledgeQuery], KnowledgeEvidence], *, description: str = ""
    ) -> "KnowledgeResolver":
        """Make a resolver of a plain function."""
        return cls(handler=handler, description=description)

    def resolve(self, query: KnowledgeQuery) -> KnowledgeEvidence:
        """Call the function.

        Raises:
            ConfigError: it returned something else than evidence.
            Exception: whatever the function raises.
        """
        found: object = self.handler(query)
        if isinstance(found, KnowledgeEvidence):
            return found
        if inspect.iscoroutine(found):
            found.close()
        raise ConfigError(f'resolver "{_name(self.handler)}" must return KnowledgeEvidence, got {type(found).__name__}')

    def to_context_payload(self) -> dict[str, Any]:
        """Return what a model may know of it."""
        return _payload(self, but=("handler",))


class KnowledgeSource(Settings):
    """Where to look things up: documents that are given, or a resolver that finds them."""

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    documents: list[KnowledgeDocument] = []
    resolver: KnowledgeResolver | None = None
    metadata: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.documents and self.resolver is not None:
            raise ConfigError(f'"{self.name}" has documents and a resolver; make two sources of them')
        return self

    @classmethod
    def inline(
        cls,
        name: str,
        documents: Sequence[str | KnowledgeDocument],
        *,
        description: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> "KnowledgeSource":
        """Make a source of documents; a text is a document without a title.

        Raises:
            ConfigError: the documents are no list of documents and texts.
        """
        if not isinstance(documents, list | tuple):
            raise ConfigError(f"KnowledgeSource(documents=…) must be list, got {type(documents).__name__}")
        texts = [KnowledgeDocument(content=given) if isinstance(given, str) else given for given in documents]
        return cls(name=name, documents=texts, description=description, metadata=metadata or {})

    @classmethod
    def dynamic(
        cls,
        name: str,
        resolver: KnowledgeResolver,
        *,
        description: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> "KnowledgeSource":
        """Make a source of a resolver."""
        return cls(name=name, resolver=resolver, description=description, metadata=metadata or {})

    def resolve(self, query: KnowledgeQuery) -> KnowledgeEvidence:
        """Find evidence, at most `query.top_k` items. If the query names sources and not this one, there is none.

        Of more items that a resolver returns the best are kept; what cites only others goes with them. A citation is
        for an item of the same id or uri, and for one whose content its snippet is in; one that is for none is kept.

        Raises:
            ConfigError: the query is none, or the resolver returned something else than evidence.
            Exception: whatever the resolver's function raises, with a note that names the source.
        """
        check_query(query)
        if query.source_names and self.name not in query.source_names:
            return KnowledgeEvidence(query=query)
        if self.resolver is None:
            from loom.knowledge.inline import evidence_in  # noqa: PLC0415 - the index is a floor above its records

            return evidence_in(self, query)
        try:
            return _best(self.resolver.resolve(query), query.top_k)
        except ConfigError as error:
            raise ConfigError(f'knowledge source "{self.name}": {error}') from error
        except Exception as error:
            error.add_note(f'knowledge source "{self.name}"')
            raise

    def to_context_payload(self) -> dict[str, Any]:
        """Return it as JSON for a model, without what is empty."""
        return _payload(self)


def check_query(query: object) -> None:
    """Refuse with a ConfigError what is no query, such as its text alone."""
    if not isinstance(query, KnowledgeQuery):
        got = f"got {type(query).__name__}: {short(query)}"
        raise ConfigError(f'a query must be KnowledgeQuery, as in KnowledgeQuery(text="…"); {got}')


def _best(found: KnowledgeEvidence, top_k: int) -> KnowledgeEvidence:
    """Return evidence with at most `top_k` items, those that score highest, without citations of other items alone."""
    ranked = sorted(enumerate(found.items), key=lambda placed: -(placed[1].score or 0.0))
    kept = [item for _, item in sorted(ranked[:top_k], key=lambda placed: placed[0])]
    rest = [item for _, item in ranked[top_k:]]
    citations = [
        citation for citation in found.citations if _is_for_one(citation, kept) or not _is_for_one(citation, rest)
    ]
    return found.model_copy(update={"items": kept, "citations": citations})


def _is_for_one(citation: KnowledgeCitation, items: Sequence[KnowledgeEvidenceItem]) -> bool:
    """Tell whether a citation names one of some items, by its id, its place or its text."""
    return any(
        (citation.id and citation.id == item.id)
        or (citation.uri and citation.uri == item.uri)
        or (citation.snippet and citation.snippet in item.content)
        for item in items
    )


def _payload(record: Settings, but: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields that are not empty, records in them as their own payloads."""
    values = {name: getattr(record, name) for name in type(record).model_fields if name not in but}
    return {name: _as_payload(value) for name, value in values.items() if value not in ("", None, [], {})}


def _as_payload(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_as_payload(item) for item in cast("list[object]", value)]
    return value.to_context_payload() if isinstance(value, _Record) else value


@runtime_checkable
class _Record(Protocol):
    def to_context_payload(self) -> dict[str, Any]: ...


def _found(found: KnowledgeEvidence | KnowledgeBundle, but: Sequence[str] = ()) -> dict[str, Any]:
    """Return the payload, where a citation whose item holds the same text refers to it by id alone."""
    payload = _payload(found, but)
    told = {(item.id, item.content) for item in found.items if item.id}
    for citation, shown in zip(found.citations, payload.get("citations", ()), strict=True):
        if (citation.id, citation.snippet) in told:
            shown.pop("snippet", None)
    return payload


def _name(handler: object) -> str:
    return str(getattr(handler, "__qualname__", type(handler).__name__))
