"""Characters in two halves (surrogates), as a text of JSON may hold them: alone, they cannot be saved or sent."""


def mended(text: str) -> str:
    """Return a text whose halves of characters are joined where they fit, and replaced where they stand alone."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
