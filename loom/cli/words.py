"""Numbers and values as people read them."""

import json
from datetime import datetime


def duration(seconds: float) -> str:
    """Return a duration in two digits or three of what matters: `0.03 s`, `12.4 s`, `2 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def spent(input_tokens: int, output_tokens: int, cost_usd: float | None) -> str:
    """Return what was used: `1,204 tokens in, 310 out, $0.0042`; the money only where its amount is known."""
    tokens = f"{input_tokens:,} tokens in, {output_tokens:,} out"
    return f"{tokens}, ${cost_usd:.4f}" if cost_usd else tokens


def moment(at: float) -> str:
    """Return a Unix time as the local date and time, to the second."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def one_line(value: object, width: int = 400) -> str:
    """Return a JSON value on one line: a text as it is, its lines joined; all else as JSON. Cut at `width`."""
    text = " ".join(value.split()) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text if len(text) <= width else f"{text[: width - 1]}…")


def printable(text: str) -> str:
    """Return a text without what would steer a terminal; a model or a server may have written it."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
