"""Reading the JSON that a model replied with."""

import re
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

_FENCED: Final = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)

T = TypeVar("T", bound=BaseModel)


def read_json(text: str, kind: type[T]) -> T:
    """Return the one JSON object in a model's reply: all of it, fenced, or with prose around.

    A reply with two fenced blocks is refused rather than guessed at: one of them may be quoted.

    Raises:
        ValueError: there is no JSON object, or more than one, or it is not of this type.
    """
    fenced = _FENCED.findall(text)
    if text.lstrip().startswith("{"):
        candidate = text
    elif len(fenced) > 1:
        raise ValueError(f"the reply has {len(fenced)} fenced blocks; expected one JSON object")
    elif fenced:
        candidate = fenced[0]
    else:
        candidate = text[text.find("{") : text.rfind("}") + 1]
    if not candidate.strip():
        raise ValueError("the reply has no JSON object")
    try:
        return kind.model_validate_json(candidate)
    except ValidationError as error:
        flaws = "; ".join(f"{'.'.join(map(str, flaw['loc'])) or 'reply'}: {flaw['msg']}" for flaw in error.errors())
        raise ValueError(flaws) from error
