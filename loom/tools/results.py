"""What a model is shown of a tool's result: without secrets, and not too much of it."""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from pydantic_core import to_json

from loom.types.characters import mended
from loom.types.content import MessageContent, TextBlock

_MARK: Final = "[redacted]"


class Redactor:
    """Replaces registered secrets by `[redacted]`, the longest first, also as JSON writes them.

    What `secrets` holds is looked at anew each time: one that comes later is replaced too, and none is forgotten.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets
        self._known: tuple[str, ...] = ()
        self._forms: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def _learn(self, secrets: tuple[str, ...]) -> None:
        forms = {form for secret in secrets if secret for form in (secret, to_json(secret).decode()[1:-1])}
        self._known, self._forms = secrets, self._forms | forms
        found = sorted(self._forms, key=len, reverse=True)
        # What is replaced already is left alone, so that cleaning twice changes nothing.
        self._pattern = re.compile("|".join(map(re.escape, [_MARK, *found]))) if found else None

    def clean(self, text: str) -> str:
        """Return a text without secrets, and without halves of characters, which cannot be saved."""
        if (secrets := tuple(iter(self._secrets))) != self._known:
            self._learn(secrets)
        text = mended(text)
        return text if self._pattern is None else self._pattern.sub(_MARK, text)

    def clean_content(self, content: MessageContent) -> MessageContent:
        """Return content with its texts cleaned."""
        if isinstance(content, str):
            return self.clean(content)
        return tuple(
            TextBlock(text=self.clean(block.text)) if isinstance(block, TextBlock) else block for block in content
        )


def shortened(content: MessageContent, limit: int) -> tuple[MessageContent, dict[str, str]]:
    """Return content with at most about `limit` characters of text, and the whole of what was cut, by reference.

    Head and tail are kept, with a note between them that says how much is left out and under which reference it is.
    """
    if isinstance(content, str):
        return _shortened(content, limit) if len(content) > limit else (content, {})
    blocks, kept = list(content), dict[str, str]()
    for index, block in enumerate(blocks):
        if isinstance(block, TextBlock):
            if len(block.text) > limit:
                text, whole = _shortened(block.text, limit)
                blocks[index] = TextBlock(text=text)
                kept |= whole
            limit = max(limit - len(block.text), 0)
    return tuple(blocks), kept


def _shortened(text: str, limit: int) -> tuple[str, dict[str, str]]:
    ref = f"out_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    head = limit - limit // 2
    tail = len(text) - limit // 2
    note = f"\n[… {tail - head} of {len(text)} characters left out; the whole output is kept as {ref} …]\n"
    return f"{text[:head]}{note}{text[tail:]}", {ref: text}
