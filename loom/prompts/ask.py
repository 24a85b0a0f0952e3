"""Asking a model for what can be read, and once more where it cannot."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from loom.core.model_port import ModelPort
from loom.types.messages import Message

T = TypeVar("T")


async def ask(
    model: ModelPort, messages: Sequence[Message], *, response_type: type[BaseModel], read: Callable[[str], T]
) -> T:
    """Return what `read` makes of the reply's text. Where it raises `ValueError`, the model is told why and asked anew.

    Raises:
        ValueError: the second reply could not be read either.
        ProviderError: the model could not be asked.
    """
    reply = await model.complete(messages, response_type=response_type)
    try:
        return read(reply.text)
    except ValueError as error:
        problem = f"That reply cannot be used: {error}\n\nReply again, with nothing but the JSON object."
    again = (Message(role="assistant", content=reply.text), Message(role="user", content=problem))
    reply = await model.complete((*messages, *again), response_type=response_type)
    return read(reply.text)
