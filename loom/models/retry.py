"""When to ask a provider again, and how long to wait before. No I/O."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import cast

from pydantic import Field

from loom.types.settings import Settings


class Backoff(Settings):
    """Exponential waits with jitter; a provider's own wish is honoured, up to `max_backoff_s`."""

    max_attempts: int = Field(default=3, ge=1, le=100)
    backoff_s: float = Field(default=0.5, ge=0)
    max_backoff_s: float = Field(default=60.0, ge=0)

    def wait_s(self, attempt: int, wish_s: float | None, chance: float) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt` (from 1), or None to give up.

        `chance` is a random number from 0 to 1: it takes off up to half, so that many callers do not come back at
        once. A wish longer than `max_backoff_s` is not waited for: whoever called decides.
        """
        if attempt >= self.max_attempts or (wish_s is not None and wish_s > self.max_backoff_s):
            return None
        wait_s = min(self.backoff_s * 2.0 ** (attempt - 1), self.max_backoff_s)
        return max(wait_s * (1 - chance / 2), wish_s or 0.0)


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return how long the provider asks to wait, in seconds from `now` (a Unix time), or None.

    Reads `retry-after-ms` and `Retry-After`, which is seconds or a date (RFC 9110, section 10.2.3).
    """
    wishes = {name.lower(): value.strip() for name, value in headers.items()}
    try:
        if "retry-after-ms" in wishes:
            return max(0.0, float(wishes["retry-after-ms"]) / 1000)
        if "retry-after" in wishes:
            return max(0.0, _seconds(wishes["retry-after"], now))
    except ValueError:
        # Neither a number nor a date: the provider said nothing that can be honoured.
        return None
    return None


def retry_delay_s(details: object) -> float | None:
    """Return how long Google asks to wait, in seconds, or None: it says so among the `details` of an error."""
    for detail in cast("list[object]", details) if isinstance(details, list) else ():
        delay = cast("dict[str, object]", detail).get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
            return float(delay.removesuffix("s"))
    return None


def _seconds(text: str, now: float) -> float:
    try:
        return float(text)
    except ValueError:
        return parsedate_to_datetime(text).timestamp() - now
