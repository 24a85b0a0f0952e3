"""A conversation in a model's window, for those who run a loop of their own."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from loom.context.view import LEAST_PREVIEW, handed_off, last_turn, ref_of, tokens_in, tokens_in_content
from loom.context.window import Edits, Window
from loom.errors import ConfigError, ContextError, ContextOverflowError, short
from loom.types.handoff import HandoffArtifact
from loom.types.messages import Message


class ContextManager:
    """Holds a conversation, tells how full the window of `max_tokens` is, and begins anew when it is asked to.

    `goal`, `instructions` and `constraints` stand in the first message, the same bytes at all times; without a `goal`
    it is what the user said first. `reserved_output_tokens` are kept for the model's reply. Nothing that was said is
    lost: a renewal leaves it out of the view.

    Raises:
        ConfigError: a number is out of its range, or `constraints` is a text.
    """

    def __init__(
        self,
        max_tokens: int,
        goal: str = "",
        instructions: str = "",
        constraints: Sequence[str] = (),
        reserved_output_tokens: int = 0,
    ) -> None:
        for name, number, least in (
            ("max_tokens", max_tokens, 1),
            ("reserved_output_tokens", reserved_output_tokens, 0),
        ):
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ConfigError(f"ContextManager({name}=…) must be a whole number from {least}, got {short(number)}")
        if isinstance(constraints, str):
            raise ConfigError(f"ContextManager(constraints=…) must be a list of texts, got {short(constraints)}")
        self.goal = goal
        self._window = Window(max_tokens=max_tokens, reserved_output_tokens=reserved_output_tokens)
        self._fixed = _fixed(goal, instructions, constraints)
        self._transcript: tuple[Message, ...] = ()
        self._edits = Edits()

    @property
    def last_handoff(self) -> HandoffArtifact | None:
        """What the last renewal handed on; None before the first."""
        return self._edits.handoff

    @property
    def tokens(self) -> int:
        """About how many tokens the view takes, those that are reserved for the reply included."""
        return self._tokens(self._edits)

    @property
    def rho(self) -> float:
        """The pressure: `tokens` over those of the window. From 1 on it does not fit."""
        return self.tokens / self._window.max_tokens

    def extend(self, messages: Iterable[Message]) -> None:
        """Add what was said, oldest first.

        Raises:
            ConfigError: something is no `Message`; nothing is added.
        """
        added = tuple(messages)
        for number, message in enumerate(added):
            if not isinstance(message, Message):
                raise ConfigError(f"extend: messages[{number}] must be a Message, got {type(message).__name__}")
        self._transcript += added

    def messages(self) -> tuple[Message, ...]:
        """Return the view: what a model is to be shown, oldest first."""
        first = (Message(role="system", content=self._fixed),) if self._fixed else ()
        return (*first, *self._view(self._edits))

    def renew(self) -> HandoffArtifact:
        """Begin anew: the view is then a handoff, the last turn, and what was said after it.

        Where there is no room for the results of that turn, head and tail of each are shown, as long as fit, with a
        reference for `fetch`; where there is none for the turn, the handoff tells them so.

        Raises:
            ContextOverflowError: even so it would not fit; nothing is changed.
        """
        ways, size = list(self._ways()), self._window.max_tokens
        handoff, edits = next((way for way in ways if self._tokens(way[1]) < size), ways[-1])
        if self._tokens(edits) < size:
            self._edits = edits
            return handoff
        fixed, reserved = tokens_in_content(self._fixed), self._window.reserved_output_tokens
        after = tokens_in(self._transcript[edits.since :])
        raise ContextOverflowError(
            f"the window holds {size} tokens, and what can never be left out takes "
            f"{self._tokens(edits)}: goal, instructions and constraints {fixed}, "
            f"handoff {tokens_in_content(handoff.to_system_prompt())}, said after the last turn {after}, "
            f"reserved for the reply {reserved}; shorten it, or use a model with a larger window"
        )

    def fetch(self, ref: str) -> str:
        """Return the whole text of a tool's result, by the reference that stands where its middle was left out.

        Raises:
            ContextError: it is the reference of no result.
        """
        for message in self._transcript:
            if message.role == "tool" and ref_of(message.text) == ref:
                return message.text
        raise ContextError(f"there is no result {short(ref)}; a reference stands in messages() where a text was cut")

    def _ways(self) -> Iterator[tuple[HandoffArtifact, Edits]]:
        """Yield what may be left out, ever more of it."""
        said, room = self._transcript, self._window.max_tokens
        since = last_turn(said)
        after = next((place for place in range(since + 1, len(said)) if said[place].role != "tool"), len(said))
        handoff, shown = self._handoff(room), room
        yield handoff, Edits(since=since, handoff=handoff)
        while shown >= LEAST_PREVIEW:
            cut = [place for place in range(since + 1, after) if len(said[place].text) > shown]
            cleared = tuple((place, ref_of(said[place].text)) for place in cut)
            previews = tuple((place, shown) for place in cut)
            yield handoff, Edits(cleared=cleared, previews=previews, since=since, handoff=handoff)
            shown //= 2
        for words in (room, LEAST_PREVIEW):
            handoff = self._handoff(words, said[since + 1 : after])
            yield handoff, Edits(since=after, handoff=handoff)

    def _handoff(self, room: int, unseen: Sequence[Message] = ()) -> HandoffArtifact:
        sprint = self.last_handoff.sprint + 1 if self.last_handoff else 1
        said = self._transcript or (Message(role="user", content=self.goal),)
        at = datetime.now(UTC).isoformat()
        handoff = handed_off(said, sprint=sprint, rho=self.rho, at=at, room=room, unseen=unseen)
        return handoff.model_copy(update={"goal": self.goal or handoff.goal})

    def _view(self, edits: Edits) -> tuple[Message, ...]:
        if edits.handoff and not self._transcript:
            return (Message(role="user", content=edits.handoff.to_system_prompt()),)
        return edits.view((), self._transcript)

    def _tokens(self, edits: Edits) -> int:
        return self._window.tokens(self._fixed, self._view(edits), ())


def _fixed(goal: str, instructions: str, constraints: Sequence[str]) -> str:
    """Return what is shown at all times."""
    parts = [instructions] if instructions else []
    if goal:
        parts.append(f"## Goal\n\n{goal}")
    if constraints:
        parts.append("## Constraints\n\n" + "\n".join(f"- {constraint}" for constraint in constraints))
    return "\n\n".join(parts)
