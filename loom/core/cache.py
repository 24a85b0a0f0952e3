"""What a node gave before for equal inputs, kept in the process."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from loom.core.runtime import Cache

# Any: a view's field values, whose types are the user's.


class StepCache:
    """The writes of one node by its inputs, the least recently used dropped first.

    `meaning` is the node's fingerprint. The writes are kept as saved, so that what comes out of the
    cache is never shared.
    """

    def __init__(self, cache: Cache, meaning: str, inputs: Callable[[Any], bytes]) -> None:
        self._cache = cache
        self._meaning = meaning.encode()
        self._inputs = inputs
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    def key(self, view: Any) -> bytes:
        """Return what stands for the node and its inputs."""
        return hashlib.sha256(self._meaning + b"\0" + self._inputs(view)).digest()

    def get(self, key: bytes, now: float) -> bytes | None:
        """Return the saved writes, unless there are none or they are too old."""
        found = self._kept.get(key)
        if found is None:
            return None
        if self._cache.ttl_s is not None and now - found[0] >= self._cache.ttl_s:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return found[1]

    def put(self, key: bytes, saved: bytes, now: float) -> None:
        """Keep the writes."""
        self._kept[key] = (now, saved)
        self._kept.move_to_end(key)
        if len(self._kept) > self._cache.max_entries:
            self._kept.popitem(last=False)
