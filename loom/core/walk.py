"""The walk: a pure state machine that says, after each finished step, what is due next.

No I/O, no clock, no event loop: feeding it the same records gives the same walk, live or from a
journal. The theory in short (the long form is in the design document):

- A run starts as one **branch**. A **fan-out** replaces it by a child per target. A **join** makes one
  branch of those that arrived, once no other live branch can still reach it.
- Every step has a **place**: its position in its branch's row, after the places of the fan-outs it
  stands in. Places sort as a tree is read: what came before a fan-out, its children in written
  order, what comes after it.
- A branch sees the writes of exactly the steps in its causal past, in the order of their places: its
  **view**. So no result depends on timing, and no branch sees a sibling's writes before they meet.

While one branch is alone its view is simply kept up to date. From the first fan-out on, the steps
are also kept in a **log**, of which a join folds the part that its arrivals saw. The log is dropped
when a lone branch has seen all of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from loom.core.binding import ITEM
from loom.core.branches import ENDED, OPENED_BY_START, bits
from loom.core.plan import EachPlan, Plan
from loom.core.state import append, merge, reduce
from loom.errors import LoomError, quoted

# Any, in this module: field values, whose types are the user's.

Place = tuple[int, ...]
Writes = Mapping[str, Any]

_START = OPENED_BY_START


@dataclass(frozen=True, slots=True)
class Frame:
    """An open fan-out: who opened it, where its children stand, and what they all have seen."""

    opener: int
    targets: tuple[int, ...]
    owner: "Branch"
    place: Place
    base: Writes
    base_past: int
    items: "Items | None" = None


@dataclass(slots=True)
class Items:
    """The items of an `each`: those that have not begun, from `next` on, and how many are not over.

    `visits` of its node were over when it was opened.
    """

    values: Sequence[Any]
    next: int
    left: int
    past: int
    visits: int


@dataclass(slots=True, eq=False)
class Branch:
    """One path of a run. `at` is the node it works at or waits for; `row` counts its steps.

    `past` has a bit for each entry of the log it has seen. `own` names the fields whose containers
    belong to this view alone, so that growing them in place is seen by nobody else. `is_held` is of no
    matter here: it is handed on to what follows, over fan-outs and joins.
    """

    id: str
    at: int
    prefix: Place
    row: int
    frames: tuple[Frame, ...]
    view: dict[str, Any]
    past: int
    own: set[str]
    is_held: bool = False

    @property
    def place(self) -> Place:
        """Where the step that is due now stands."""
        return (*self.prefix, self.row)


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of the log."""

    place: Place
    writes: Writes


class Walk:
    """One graph being walked, as far as it has come. `live` holds its branches by id."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.live: dict[str, Branch] = {}
        self.visits: dict[int, int] = {}
        self._log: list[Entry] = []
        self._base: Writes = {}
        self._final: dict[str, Any] | None = None
        self._working: dict[Branch, None] = {}
        self._waiting: dict[int, list[Branch]] = {}
        self._blockers: dict[int, tuple[Branch, Branch]] = {}

    def start(self, values: dict[str, Any], targets: Sequence[int]) -> list[Branch]:
        """Begin with the given field values; return the branches that are due."""
        trunk = Branch(id="", at=_START, prefix=(), row=-1, frames=(), view=values, past=0, own=set())
        self._add(trunk)
        return self.move(trunk, targets)

    def start_at(self, node: int, row: int, values: dict[str, Any]) -> None:
        """Begin in the middle: with the trunk alone, its step `row` due at a node."""
        self._add(Branch("", node, (), row, (), values, 0, set()))

    def finish(self, values: dict[str, Any]) -> None:
        """Be over, with these field values."""
        self.live.clear()
        self._final = values

    @property
    def trunk_alone(self) -> Branch | None:
        """The trunk, if it is alone, not waiting, and has seen everything that was written."""
        if len(self.live) != 1 or self._log:
            return None
        (only,) = self.live.values()
        return None if only.frames or only not in self._working else only

    def absorb(self, branch: Branch, writes: Writes) -> Branch | None:
        """Take in what the step that is due on this branch wrote.

        Returns the branch whose way on is to be chosen now, for `move`; None if the step was that of
        an item and others are not over, then `next_item` follows.
        """
        self.visits[branch.at] = self.visits.get(branch.at, 0) + 1
        if not branch.frames and not self._log:  # alone: the view is all there is to keep
            self._write(branch.view, writes, branch.own)
            return branch
        branch.past |= 1 << len(self._log)
        self._log.append(Entry(branch.place, writes))
        items = branch.frames[-1].items if branch.frames else None
        if not items:
            self._write(branch.view, writes, branch.own)
            return branch
        items.left -= 1
        items.past |= branch.past
        self._remove(branch)
        return None if items.left else self._gather(branch.frames[-1], items, branch.at)

    def move(self, branch: Branch, targets: Sequence[int]) -> list[Branch]:
        """Lead a branch whose step was absorbed on; return the branches that are newly due."""
        opener = branch.at
        branch.row += 1
        if len(targets) > 1:
            return self._fan_out(branch, opener, targets)
        target = targets[0]
        if target == ENDED:
            return self._end(branch)
        each = self.plan.each_of.get(target)
        if each:
            return self._open_each(branch, opener, each)
        if not branch.frames:  # alone, so no join waits for it
            branch.at = target
            return [branch]
        due = self._enter(branch, target)
        return due + self._fire() if self._waiting else due

    def due(self) -> list[Branch]:
        """Return the branches that wait for nothing but their node, in the order of their places."""
        if len(self._working) == 1:
            return [*self._working]
        return sorted(self._working, key=lambda branch: branch.place)

    def visit(self, branch: Branch) -> int:
        """Return the number of the visit that is due on a branch, from 1; items are numbered in their order."""
        frame = branch.frames[-1] if branch.frames else None
        if frame and frame.items:
            return frame.items.visits + branch.prefix[len(frame.place)] + 1
        return self.visits.get(branch.at, 0) + 1

    def view(self, branch: str | None = None) -> Mapping[str, Any]:
        """Return the fields as a branch sees them; by default the trunk, with finished joins.

        Raises:
            LoomError: no live branch has this id.
        """
        if branch is not None:
            if branch not in self.live:
                raise LoomError(f'no branch "{branch}" is alive here; alive are {quoted(self.live)}')
            return self.live[branch].view
        if self._final is not None:
            return self._final
        for alive in self.live.values():
            if not alive.frames:
                return alive.view
        return min(self.live.values(), key=lambda alive: alive.place).frames[0].base

    def _add(self, branch: Branch) -> None:
        self.live[branch.id] = branch
        self._working[branch] = None

    def _remove(self, branch: Branch) -> None:
        del self.live[branch.id], self._working[branch]

    def _enter(self, branch: Branch, target: int) -> list[Branch]:
        branch.at = target
        if target in self.plan.joins:
            del self._working[branch]
            self._waiting.setdefault(target, []).append(branch)
            return []
        return [branch]

    def _fan_out(self, owner: Branch, opener: int, targets: Sequence[int]) -> list[Branch]:
        if not self._log:
            self._base = dict(owner.view)
        frame = Frame(opener, tuple(targets), owner, owner.place, dict(owner.view), owner.past)
        self._remove(owner)
        children = [_child(frame, number, target, dict(frame.base)) for number, target in enumerate(targets)]
        for child in children:
            self._add(child)
        due = [child for child, target in zip(children, targets, strict=True) for child in self._enter(child, target)]
        return due + self._fire() if self._waiting else due

    def _open_each(self, owner: Branch, opener: int, each: EachPlan) -> list[Branch]:
        values = owner.view[each.over]
        if not self._log:
            self._base = dict(owner.view)
        items = Items(values, 0, len(values), owner.past, self.visits.get(each.node, 0))
        frame = Frame(opener, (each.node,), owner, owner.place, dict(owner.view), owner.past, items)
        self._remove(owner)
        return [self._begin_item(frame, items, each.node) for _ in values[: each.max_concurrency]]

    def next_item(self, branch: Branch) -> list[Branch]:
        """Begin the next item of the `each` in which this branch was one; return it, if there is one."""
        frame = branch.frames[-1]
        items = frame.items
        if items is None or items.next == len(items.values):
            return []
        frame.owner.is_held = False  # what held the items has let the first of them go
        return [self._begin_item(frame, items, branch.at)]

    def _begin_item(self, frame: Frame, items: Items, node: int) -> Branch:
        child = _child(frame, items.next, node, {**frame.base, ITEM: items.values[items.next]})
        items.next += 1
        self._add(child)
        return child

    def _gather(self, frame: Frame, items: Items, node: int) -> Branch:
        """Go on as one branch, once every item is over."""
        owner = frame.owner
        view = self._fold(frame.base, items.past & ~frame.base_past)
        branch = Branch(owner.id, node, owner.prefix, owner.row, owner.frames, view, items.past, set())
        self._add(branch)
        self._forget(branch)
        return branch

    def _forget(self, branch: Branch) -> None:
        """Drop the log if this branch is alone and has seen all of it."""
        if len(self.live) == 1 and not branch.frames and branch.past == (1 << len(self._log)) - 1:
            self._log.clear()
            branch.past = 0

    def _end(self, branch: Branch) -> list[Branch]:
        self._remove(branch)
        if self.live:
            return self._fire() if self._waiting else []
        everything = (1 << len(self._log)) - 1
        self._final = branch.view if branch.past == everything else self._fold(self._base, everything)
        return []

    def _fire(self) -> list[Branch]:
        """Let every join go on that no live branch can reach any more."""
        due: list[Branch] = []
        while ready := self._ready():
            due.append(self._join(ready))
        if not self._working:
            joins = {self.plan.tasks[branch.at].name for branch in self.live.values()}
            raise LoomError(
                f"every live branch waits, at the joins {quoted(joins)}; this is a defect of Loom, report it"
            )
        return due

    def _ready(self) -> list[Branch]:
        """Return the branches that wait at the first join that may go on, in the order of their places."""
        for join in sorted(self._waiting):
            if not self._is_blocked(join):
                return sorted(self._waiting[join], key=lambda branch: branch.prefix)
        return []

    def _is_blocked(self, join: int) -> bool:
        """Tell whether a live branch that does not wait at the join can still reach it.

        The branch that was found last is asked first: it mostly still can, so a wide fan-out does not
        look through all of its branches each time that one of them arrives.
        """
        if join in self._blockers:
            other, one = self._blockers[join]
            if other in self._working and self._can_reach(other, join, one):
                return True
            del self._blockers[join]
        elsewhere = [branch for at, waiting in self._waiting.items() if at != join for branch in waiting]
        for one in self._waiting[join]:
            for other in chain(reversed(self._working), elsewhere):
                if self._can_reach(other, join, one):
                    self._blockers[join] = (other, one)
                    return True
        return False

    def _can_reach(self, branch: Branch, join: int, waiting: Branch) -> bool:
        common = _common_frames(branch.frames, waiting.frames)
        opener = common[-1].opener if common else _START
        return self.plan.can_reach(branch.at, join, opener)

    def _join(self, arrived: Sequence[Branch]) -> Branch:
        """Make one branch of those that arrived."""
        join = arrived[0].at
        for branch in arrived:
            del self.live[branch.id]
        del self._waiting[join]
        self._blockers.pop(join, None)
        frames = arrived[0].frames
        past = 0
        for branch in arrived:
            frames = _common_frames(frames, branch.frames)
            past |= branch.past
        merged = self._stand(arrived, frames, join)
        merged.past = past
        merged.is_held = any(branch.is_held for branch in arrived)
        if len(arrived) == 1:
            merged.view, merged.own = arrived[0].view, arrived[0].own
        else:
            merged.view, merged.own = self._fold(frames[-1].base, past & ~frames[-1].base_past), set()
        self._add(merged)
        self._forget(merged)
        return merged

    def _stand(self, arrived: Sequence[Branch], frames: tuple[Frame, ...], join: int) -> Branch:
        """Say where the branch stands that those that arrived become."""
        last = max(arrived, key=lambda branch: branch.prefix)
        owner: Branch | None = None
        while frames and self.plan.is_over_at(frames[-1].opener, frames[-1].targets, join):
            owner = frames[-1].owner
            frames = owner.frames
        if owner:
            return Branch(owner.id, join, owner.prefix, owner.row + 1, frames, {}, 0, set())
        frame = frames[-1]
        child, generation = last.prefix[len(frame.place)], last.prefix[len(frame.place) + 1]
        prefix = (*frame.place, child, generation + 1, join)
        name = f"{child}+{self.plan.tasks[join].name}"
        own_id = f"{frame.owner.id}.{name}" if frame.owner.id else name
        return Branch(own_id, join, prefix, 0, frames, {}, 0, set())

    def _fold(self, base: Writes, past: int) -> dict[str, Any]:
        """Apply the steps of a past to a base, in the order of their places."""
        view = dict(base)
        own: set[str] = set()
        for entry in sorted((self._log[bit] for bit in bits(past)), key=lambda entry: entry.place):
            self._write(view, entry.writes, own)
        return view

    def _write(self, view: dict[str, Any], writes: Writes, own: set[str]) -> None:
        reduced = self.plan.reduced
        if not reduced:
            view.update(writes)
            return
        for name, write in writes.items():
            field = reduced.get(name)
            if field is None or name not in view:
                view[name] = write
            elif name in own and field.reducer is append:
                view[name].extend(write)
            elif name in own and field.reducer is merge:
                view[name].update(write)
            else:
                view[name] = reduce(field, view[name], write)
                if type(view[name]) in (list, dict, set):
                    own.add(name)


def _child(frame: Frame, number: int, at: int, view: dict[str, Any]) -> Branch:
    """Return the branch of a fan-out that begins at a node, or that of an item."""
    owner = frame.owner
    name = f"{owner.id}.{number}" if owner.id else str(number)
    prefix, frames = (*frame.place, number, 0, 0), (*owner.frames, frame)
    return Branch(name, at, prefix, 0, frames, view, frame.base_past, set(), owner.is_held)


def _common_frames(ours: tuple[Frame, ...], theirs: tuple[Frame, ...]) -> tuple[Frame, ...]:
    count = 0
    for mine, other in zip(ours, theirs, strict=False):
        if mine is not other:
            break
        count += 1
    return ours[:count]
