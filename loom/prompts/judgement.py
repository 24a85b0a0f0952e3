"""Reading a judge's verdicts on a contract."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool, create_model

from loom.errors import quoted
from loom.prompts.reply import read_json
from loom.types.contracts import SprintContract, Verdict


class Entry(BaseModel):
    """What a judge says of one criterion. `evidence` quotes what shows it."""

    id: str = ""
    criterion: str = ""
    passed: StrictBool
    evidence: str = ""
    critique: str = ""


class Verdicts(BaseModel):
    """What a judge replies with. `critique` is about the whole."""

    verdicts: list[Entry]
    critique: str = ""


@lru_cache(maxsize=256)
def verdicts_on(judged: tuple[str, ...]) -> type[BaseModel]:
    """Return the type that a judge is asked for: one entry for each of the ids, evidence before the decision.

    It says more than `Verdicts`, by which a reply is read, so that a provider that enforces a shape enforces this.
    """
    # Any: types made while running, which type checkers cannot follow.
    key: Any = Annotated[str, Field(json_schema_extra={"enum": list(judged)})]
    entry: Any = create_model("Entry", id=(key, ...), evidence=(str, ...), passed=(bool, ...), critique=(str, ...))
    entries: Any = Annotated[list[entry], Field(min_length=len(judged), max_length=len(judged))]
    return create_model("Verdicts", verdicts=(entries, ...), critique=(str, ...))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was made of a judge's reply. `problem` says why it could not be used; then there are no verdicts."""

    verdicts: tuple[Verdict, ...] = ()
    critique: str = ""
    problem: str = ""


def judgement_in(reply: str, contract: SprintContract, judged: Collection[str]) -> Judgement:
    """Read the verdicts on the criteria whose ids are `judged`.

    An entry is matched by its id, or where it has none by the exact text of its criterion. What is said of the
    contract's other criteria, which checks decide, is ignored.

    Raises:
        ValueError: the reply is no judgement, or some criterion has not exactly one entry with evidence.
    """
    said = read_json(reply, Verdicts)
    criteria = dict(contract.numbered())
    keys = {text: key for key, text in criteria.items()}
    found: dict[str, Verdict] = {}
    for entry in said.verdicts:
        by_text = keys.get(entry.criterion.strip(), "")
        key = entry.id.strip() or by_text
        if (key if key in criteria else by_text) in criteria.keys() - set(judged):
            continue
        if key not in criteria:
            raise ValueError(f'there is no criterion "{key or entry.criterion}"; expected {quoted(judged)}')
        if key in found:
            raise ValueError(f'criterion "{key}" has two entries; expected one')
        if not entry.evidence.strip():
            raise ValueError(f'the entry of criterion "{key}" has no evidence')
        found[key] = Verdict(
            id=key, criterion=criteria[key], passed=entry.passed, evidence=entry.evidence, critique=entry.critique
        )
    if missing := set(judged) - found.keys():
        raise ValueError(f"there is no entry for {quoted(missing)}")
    return Judgement(tuple(found.values()), said.critique.strip())
