"""Taking turns at saving."""

import asyncio
from types import TracebackType

import anyio


class Turns:
    """Who may save now: records stand in the order in which the walk takes steps in.

    A turn that nobody has is taken at once. Who has to wait for one is not cancelled meanwhile, so that a finished
    step is saved even if its branch is being cancelled.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._wanted = 0

    async def __aenter__(self) -> None:
        self._wanted += 1
        try:
            if self._wanted == 1:
                await self._lock.acquire()  # which is free
            else:
                with anyio.CancelScope(shield=True):
                    await self._lock.acquire()
        except BaseException:
            self._wanted -= 1
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wanted -= 1
        self._lock.release()
