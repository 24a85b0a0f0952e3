"""Texts that arrive in pieces, which may end in the middle of a character. No I/O."""

from loom.types.characters import mended


class Pieces:
    """A text that arrives in pieces. The first half of a character waits for the piece with the second."""

    def __init__(self) -> None:
        self._held = ""

    def take(self, piece: str) -> str:
        """Take the next piece; return, mended, what is whole by now."""
        if piece.isascii() and not (piece and self._held):
            return piece
        text = self._held + piece
        self._held = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        return mended(text[: len(text) - len(self._held)])

    def rest(self) -> str:
        """Return what stands for the half that still waits: nothing more comes."""
        rest, self._held = mended(self._held), ""
        return rest
