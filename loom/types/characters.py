"""Characters in two halves (surrogates), as a text of JSON may hold them: alone, they cannot be saved or sent."""

_LOST = "\ufffd"


def mended(text: str) -> str:
    """Return a text whose halves of characters are joined where they fit, and replaced where they stand alone."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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
        rest, self._held = self._held and _LOST, ""
        return rest
