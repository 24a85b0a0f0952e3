"""What a model says piece by piece, without secrets: what it says as a whole is cleaned where it is saved."""

from collections.abc import Sequence

from pydantic_core import to_json

from loom.runs.secrets import secrets_of
from loom.types.models import Emit, Model, ModelReply, ModelRequest
from loom.types.stream import ModelDelta, TextDelta, ThinkingDelta, ToolCallDelta


class Veiled:
    """Asks a model, and lets no secret of the given ones through in its deltas, however they are cut."""

    def __init__(self, model: Model, secrets: Sequence[str]) -> None:
        self._model = model
        self._hidden = secrets_of(secrets)
        # In the arguments of a call a secret stands as JSON writes it.
        self._secrets = tuple({*secrets, *(to_json(secret).decode()[1:-1] for secret in secrets)})

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Return the model's reply. Raises what the model raises."""
        veils: dict[str, Veil] = {}

        def veiled(delta: ModelDelta) -> None:
            if isinstance(delta, ToolCallDelta):  # what it says of itself comes whole, not in pieces
                own = {"id": self._hidden.clean(delta.id), "name": self._hidden.clean(delta.name)}
                delta = delta.model_copy(update=own)
            name, text = _text_of(delta)
            veil = veils.setdefault(name, Veil(self._secrets))
            veil.last, shown = delta, veil.take(text)
            if shown or not text:
                emit(_with_text(delta, shown))

        reply = await self._model.complete(request, veiled)
        for veil in veils.values():
            if veil.last and (rest := veil.rest()):
                emit(_with_text(veil.last, rest))
        return reply


class Veil:
    """A text in pieces without secrets. What may be the beginning of one is held back until that is known."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self.last: ModelDelta | None = None
        self._secrets = secrets
        self._hidden = secrets_of(secrets)
        self._held = ""

    def take(self, piece: str) -> str:
        """Take the next piece; return what can be shown by now."""
        text: str = self._hidden.clean(self._held + piece)
        held = max((_overlap(text, secret) for secret in self._secrets), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> str:
        """Return what was held back: nothing more comes, so it is no secret."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, secret: str) -> int:
    """Return how many characters at the end of a text begin the secret."""
    longest = min(len(secret) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(secret[:size])), 0)


def _text_of(delta: ModelDelta) -> tuple[str, str]:
    """Return which text a delta goes on with, and the piece of it."""
    match delta:
        case ToolCallDelta():
            return f"{delta.type} {delta.index}", delta.arguments
        case TextDelta() | ThinkingDelta():
            return delta.type, delta.delta


def _with_text(delta: ModelDelta, text: str) -> ModelDelta:
    return delta.model_copy(update={"arguments" if isinstance(delta, ToolCallDelta) else "delta": text})
