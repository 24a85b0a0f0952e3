"""LangGraph again, with its beta channel that stores what was added to a list and not the list."""

from functools import partial
from typing import Annotated, TypedDict

from langgraph.channels.delta import DeltaChannel

from bench.peers import langgraph


def extended(messages, writes):
    return [*messages, *(one for write in writes for one in write)]


class Messages(TypedDict):
    messages: Annotated[list, DeltaChannel(extended)]


WORK = {
    "W4": partial(langgraph.durable_list, schema=Messages),
    "W10b": partial(langgraph.resume_list, schema=Messages),
}
