"""A slow, obviously right interpreter of the theory of the walk.

The theory is that of the design document, "Branches: the theory of the walk". Nothing of the engine
is used but the drawing of a graph: which targets follow which node, and what is a join. Every view
is folded anew from a set of steps, every reachability is searched anew, every relation is grown
anew. It is no faster than it looks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from loom import END, START
from loom.core.declared import Declared, Way
from tests.core.sketches import INPUTS, REDUCERS, Seen, Sketch

# Any, in this module: field values.

View = dict[str, Any]
Place = tuple[int, ...]
Act = Callable[[str, View], View]
Reducer = Callable[[Any, Any], Any]
Position = tuple[str, str]  # ("at", node) or ("waits", join)


@dataclass(frozen=True)
class Fan:
    """One fan-out that was opened: by whom, to where, and where its owner stood."""

    opener: str
    targets: tuple[str, ...]
    owner: "Path"
    place: Place


@dataclass(eq=False)
class Path:
    """One live branch. `past` holds the numbers of the steps that led to it."""

    at: str
    fans: tuple[Fan, ...]
    prefix: Place
    row: int
    past: frozenset[int]
    waits: bool = False


@dataclass(frozen=True)
class Step:
    """One finished step: who, where it stands, what it wrote and what it saw before."""

    node: str
    place: Place
    writes: View
    seen: View


class Reference:
    """One walk of a graph. `act` is what a node does: it gets its name and what it sees, and returns its writes."""

    def __init__(self, graph: Declared, reducers: Mapping[str, Reducer], act: Act, inputs: View) -> None:
        self.nodes = list(graph.nodes)
        self.joins = {name for name in graph.nodes if name in graph.joins}
        self.ways: Mapping[str, Sequence[Way]] = {drawing.source: drawing.ways for drawing in graph.drawings}
        self.successors = graph.successors
        self.reducers = reducers
        self.act = act
        self.inputs = inputs
        self.steps: list[Step] = []
        self.paths: list[Path] = []
        # Worked out once for each question: they are about the drawing, not about the walk.
        self._reaches = cache(self._search)
        self._relation = cache(self._grow)

    def run(self, choose: Callable[[int], int]) -> View:
        """Walk to the end and return the final state. `choose(n)` says which of n due paths steps next."""
        trunk = Path(START, (), (), -1, frozenset())
        self.paths = [trunk]
        self._lead(trunk)
        while self.paths:
            due = [path for path in self.paths if not path.waits]
            assert due, "every path waits"
            self._step(due[choose(len(due))])
        return self._fold(range(len(self.steps)))

    def _step(self, path: Path) -> None:
        seen = self._fold(path.past)
        step = Step(path.at, (*path.prefix, path.row), self.act(path.at, seen), seen)
        path.past |= {len(self.steps)}
        self.steps.append(step)
        self._lead(path)

    def _fold(self, numbers: Iterable[int]) -> View:
        """Apply the writes of these steps to the inputs, in the order of their places."""
        view = dict(self.inputs)
        for number in sorted(numbers, key=lambda number: (self.steps[number].place, number)):
            for name, write in self.steps[number].writes.items():
                reducer = self.reducers.get(name)
                view[name] = reducer(view[name], write) if reducer and name in view else write
        return view

    def _lead(self, path: Path) -> None:
        """Lead a path on from a step that is finished."""
        opener, view = path.at, self._fold(path.past)
        targets = next(way.targets for way in self.ways[opener] if way.condition is None or way.condition.holds(view))
        path.row += 1
        if len(targets) == 1:
            self._enter(path, targets[0])
        else:
            self.paths.remove(path)
            fan = Fan(opener, targets, path, (*path.prefix, path.row))
            children = [
                Path(opener, (*path.fans, fan), (*fan.place, number, 0, 0), 0, path.past)
                for number in range(len(targets))
            ]
            self.paths += children
            for child, target in zip(children, targets, strict=True):
                self._enter(child, target)
        while self._fire():
            pass

    def _enter(self, path: Path, target: str) -> None:
        if target == END:
            self.paths.remove(path)
        else:
            path.at, path.waits = target, target in self.joins

    def _fire(self) -> bool:
        """Let one join go on that no path can reach any more; tell whether there was one."""
        for number, join in enumerate(self.nodes):
            waiting = [path for path in self.paths if path.waits and path.at == join]
            others = [path for path in self.paths if path not in waiting]
            if waiting and not any(self._can_still_reach(other, one) for other in others for one in waiting):
                self._join(join, number, waiting)
                return True
        return False

    def _can_still_reach(self, other: Path, one: Path) -> bool:
        common = _common(other.fans, one.fans)
        return self._reaches(other.at, one.at, common[-1].opener if common else START)

    def _join(self, join: str, number: int, waiting: Sequence[Path]) -> None:
        self.paths = [path for path in self.paths if path not in waiting]
        fans = waiting[0].fans
        for path in waiting:
            fans = _common(fans, path.fans)
        last = max(waiting, key=lambda path: path.prefix)
        if not fans:
            (only,) = waiting
            prefix, row = only.prefix, only.row
        else:
            child = len(fans[-1].place)
            prefix, row = (*fans[-1].place, last.prefix[child], last.prefix[child + 1] + 1, number), 0
            while fans and self._is_over(fans[-1], join):
                owner = fans[-1].owner
                prefix, row, fans = owner.prefix, owner.row + 1, owner.fans
        past = frozenset[int]().union(*(path.past for path in waiting))
        self.paths.append(Path(join, fans, prefix, row, past))

    # What is known of the drawing.

    def _search(self, node: str, target: str, opener: str) -> bool:
        """Search a path from a node to a target that does not pass the opener again, not even as its first node."""
        seen: set[str] = set()
        todo = [node] if node != opener else []
        while todo:
            for following in self.successors[todo.pop()]:
                if following == target:
                    return True
                if following not in (END, opener) and following not in seen:
                    seen.add(following)
                    todo.append(following)
        return False

    def _is_over(self, fan: Fan, join: str) -> bool:
        """Tell whether nothing of a fan-out can be alive beside a join."""
        return not any(b == ("at", join) for _, b in self._relation(fan.opener, fan.targets))

    def _grow(self, opener: str, targets: tuple[str, ...]) -> set[tuple[Position, Position]]:
        """Grow the pairs of positions that may be taken at once, until no rule gives another."""
        pairs: set[tuple[Position, Position]] = set()
        new = {(self._position(a), self._position(b)) for a in targets for b in targets if a != b}
        while new - pairs:
            pairs |= new
            new = {(b, a) for a, b in pairs} | {pair for a, b in pairs for pair in self._next(opener, a, b)}
            # Two that wait at one join become one.
            new = {(a, b) for a, b in new if not (a == b and a[0] == "waits")}
        return pairs

    def _next(self, opener: str, mover: Position, partner: Position) -> set[tuple[Position, Position]]:
        word, node = mover
        if word == "at":
            return {(self._position(t), partner) for t in self.successors[node] if t != END}
        can_come = self._reaches(partner[1], node, opener)
        return set() if can_come else {(("at", node), partner)}

    def _position(self, node: str) -> Position:
        return ("waits" if node in self.joins else "at", node)


def _common(ours: tuple[Fan, ...], theirs: tuple[Fan, ...]) -> tuple[Fan, ...]:
    count = 0
    while count < min(len(ours), len(theirs)) and ours[count] is theirs[count]:
        count += 1
    return ours[:count]


def interpreted(sketch: Sketch, choose: Callable[[int], int]) -> tuple[list[Seen], View]:
    """Walk a sketch by the reference; return what each step saw, sorted, and the final state."""
    reference = Reference(sketch.declared(), REDUCERS, sketch.act, INPUTS)
    final = reference.run(choose)
    return sorted((step.node, tuple(step.seen["log"]), step.seen["mark"]) for step in reference.steps), final
