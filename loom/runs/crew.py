"""A crew: follows the branches of a fan-out at once, with no more tasks than are needed.

A task costs more than a short step does. So one task follows branch after branch for as long as their
nodes await nothing; when one does, help comes, and while there is work that nobody has begun, twice as
many tasks come each time.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import anyio

from loom.errors import LoomError

if TYPE_CHECKING:
    from loom.core.walk import Branch


class Crew:
    """Follows branches until one is left, or none. `step` runs what is due on a branch and gives what is due next.

    `is_alone` tells that one branch is all that is left of the walk.
    """

    def __init__(self, step: "Callable[[Branch], Awaitable[list[Branch]]]", is_alone: Callable[[], bool]) -> None:
        self._step = step
        self._is_alone = is_alone
        self._group = anyio.create_task_group()
        self._waiting: deque[Branch] = deque()
        self._is_helped = False
        self._left: list[Branch] = []
        self._failures: list[LoomError] = []

    @property
    def is_ending(self) -> bool:
        """Tell whether a branch failed, or all are being cancelled, so that nothing new may start."""
        return self._group.cancel_scope.cancel_called

    async def follow(self, due: "Sequence[Branch]") -> "list[Branch]":
        """Follow these branches and all that come of them; return what is due on the one that is left.

        The first failure cancels the others and is raised; further ones are notes on it.
        """
        self._waiting.extend(due)
        async with self._group:
            self._group.start_soon(self._work, 1)
        if self._failures:
            first, *others = self._failures
            for other in others:
                first.add_note(f"A sibling branch failed too: {other}")
            raise first
        return self._left

    async def _work(self, hands: int) -> None:
        """Follow branches that nobody has begun; `hands` is how many tasks help if this one has to await."""
        try:
            while self._waiting:
                branch = self._waiting.popleft()
                self._call_for_help(hands)
                while due := await self._step(branch):
                    if self._is_alone():
                        self._left = due
                        return
                    branch = due[0]
                    if len(due) > 1:
                        self._waiting.extend(due[1:])
                        self._call_for_help(hands)
        except LoomError as error:
            self._failures.append(error)
            self._waiting.clear()
            self._group.cancel_scope.cancel()

    def _call_for_help(self, hands: int) -> None:
        if self._waiting and not self._is_helped:
            self._is_helped = True
            self._group.start_soon(self._help, hands)

    async def _help(self, hands: int) -> None:
        """Begin to work once the task that called awaits something, with others if there is enough to do."""
        self._is_helped = False
        for _ in range(min(hands, len(self._waiting)) - 1):
            self._group.start_soon(self._work, 2 * hands)
        await self._work(2 * hands)
