"""A journal read back: the walk as far as its records lead, and what is known of the steps under way."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from loom.core.binding import View
from loom.core.branches import OPENED_BY_START
from loom.core.declared import START
from loom.core.fingerprint import state_parts
from loom.core.journal import Journal, decode, encode
from loom.core.plan import Plan
from loom.core.walk import Branch, Walk
from loom.errors import Change, CheckpointError, GraphChangedError, LoomError, quoted, short
from loom.runs.notes import Effect, Hops, Notes, Totals, ask_of, branch_of, path_of, renames_inside
from loom.runs.snapshots import parsed_snapshot
from loom.runs.versions import StateParts, added_fields, migrated, plan_for
from loom.types.saving import first_finding
from loom.types.usage import Usage

# Any, in this module: parsed JSON, and field values, whose types are the user's.

Watch = Callable[["Past", int, View, tuple[str, ...]], None]
"""Called before each move with the graph's past, the node, its view, and the names of the recorded targets."""


class Past:
    """What the records taken in so far say of one graph's walk; `inner` are those of graphs inside it.

    `undecided` are branches whose step was recorded without a way on; `newly_due` those that the last
    record made due, with `at` saying in which graph; `opening` those that may start first when the run
    goes on. `state` is that of the journal's header: if it is older than the graph's, `plan` folds JSON
    until the run is migrated.
    """

    def __init__(
        self,
        plan: Plan,
        run_id: str,
        totals: Totals | None = None,
        hops: Hops = (),
        rename: Mapping[str, str] | None = None,
        watch: Watch | None = None,
        state: StateParts | None = None,
    ) -> None:
        self._newest = plan
        self.plan = plan = plan_for(plan, state, run_id) if state else plan
        self.run_id = run_id
        self.hops = hops
        self.walk = Walk(plan)
        self.totals = totals or Totals()
        self.notes: dict[str, Notes] = {}
        self.undecided: dict[str, Branch] = {}
        self.inner: dict[str, Past] = {}
        self.newly_due: list[Branch] = []
        self.opening: list[Branch] = []
        self.changed: Mapping[str, Any] | None = None
        self._rename = rename
        self._watch = watch
        self._ghosts: dict[str, int] = {}
        self._state = state
        self._added = added_fields(plan, state) if state else {}

    def snapshot(self, after: str) -> bytes | None:
        """Return the walk as JSON, to go on from without the records before, the last being of node `after`.

        None where there is more to it than the trunk: branches, inner graphs, notes of a step under way.
        """
        trunk = self.walk.trunk_alone
        if trunk is None or self.notes or self.inner or self.undecided or self.totals.open_asks:
            return None
        fields = self.plan.fields
        values = b",".join([b"%b:%b" % (fields[n].key, fields[n].values.dump(v)) for n, v in trunk.view.items()])
        names = [task.name for task in self.plan.tasks]
        rest = {
            "seq": self.totals.seq,
            "after": after,
            "at": names[trunk.at],
            "row": trunk.row,
            "visits": {names[number]: count for number, count in self.walk.visits.items()},
            "usage": self.totals.usage.model_dump(),
            "state": self._state,
            "changed": self.changed,
        }
        return b'{"values":{%b},"rest":%b}' % (values, encode(rest))

    def _go_on_from(self, snapshot: bytes) -> None:
        saved = parsed_snapshot(snapshot, self.run_id)
        rest = saved["rest"]
        self.totals.seq = rest["seq"]
        self.totals.usage = Usage.model_validate(rest["usage"])
        self.changed = rest.get("changed")
        visits = rest["visits"]
        if rest.get("state"):
            self._change_state(rest["state"])
        for name, count in visits.items():
            self.walk.visits[self._number(name)] = count
        self.walk.start_at(self._number(rest["at"]), rest["row"], self._added | self.restore(saved["values"]))
        (trunk,) = self._hold(self.walk.due())
        trunk.is_held |= self._number(rest["after"]) in self.plan.pause_after

    def take_all(self, journal: Journal) -> None:
        """Take in every record of a journal, after its snapshot if it has one.

        Raises:
            CheckpointError: a record is damaged or out of order.
            GraphChangedError: a record names what the graph does not have.
        """
        if journal.snapshot is not None:
            self._go_on_from(journal.snapshot)
        for record in journal.records:
            self.take(decode(record, self.run_id))

    def take(self, record: Mapping[str, Any]) -> "Past":
        """Take in one record; return the past of the graph that it was about."""
        match record["kind"]:
            case "answer":
                self.totals.answered(record["id"], record["value"])
            case "set":
                self._set(self.restore(record["values"]))
            case "migrated":
                self._migrate(record)
            case "resume":
                self.totals.status, self.totals.stop_reason = "running", None
                self.changed = record.get("changed", self.changed)
                if record.get("passes"):
                    self.pass_breakpoints()
            case "end":
                self.totals.status, self.totals.stop_reason = record["status"], record.get("reason")
                self._spend(record)
                self._forget_attempts()
            case _:
                return self._descend(record)
        self.newly_due = []
        return self

    def _set(self, values: Mapping[str, Any]) -> None:
        """Replace fields of the trunk, as a fork does."""
        for branch in self.walk.live.values():
            branch.view.update(values)
            branch.own.difference_update(values)
        if not self.walk.live:
            self.walk.finish({**self.walk.view(), **values})

    def _change_state(self, state: StateParts) -> None:
        self._state = state
        self.plan = plan_for(self._newest, state, self.run_id)
        self._added = added_fields(self.plan, state)
        self.walk, visits = Walk(self.plan), self.walk.visits
        self.walk.visits = visits

    def _migrate(self, record: Mapping[str, Any]) -> None:
        """Go on with the values of a newer version of the state."""
        trunk = self.walk.trunk_alone
        self._change_state(record["state"])
        values = self._added | self.restore(record["values"])
        if trunk is None:
            self.walk.finish(values)
        else:
            self.walk.start_at(trunk.at, trunk.row, values)
            self.walk.live[""].is_held = trunk.is_held
            self.undecided = {"": self.walk.live[""]} if self.undecided else {}

    def migration(self, at: float) -> list[dict[str, Any]]:
        """Return the record that brings a walk of an older state's version to the newest; none if there is no need.

        Raises:
            GraphChangedError: there is more to the walk than the trunk, or it cannot be migrated.
        """
        if self._state is None or not self.is_older:
            return []
        if self.walk.live and (self.walk.trunk_alone is None or self.inner):
            message = f'run "{self.run_id}" is inside a fan-out or an inner graph, so its state cannot be migrated'
            raise GraphChangedError(message, [Change(self.plan.state.__name__, "state")])
        _, saved = migrated(self._newest, self.run_id, self.walk.view(), self._state["version"])
        state = state_parts(self._newest.declared)
        return [{"kind": "migrated", "at": at, "state": state, "values": from_json(saved)}]

    @property
    def is_older(self) -> bool:
        """Tell whether the walk is that of an older version of the state, and its values are JSON."""
        return self.plan is not self._newest

    def view(self, branch: str | None = None) -> View:
        """Return the fields as `Walk.view` does, migrated if they have to be."""
        return self._migrated(self.walk.view(branch))

    def _migrated(self, view: View) -> View:
        if self._state is None or not self.is_older:
            return view
        return migrated(self._newest, self.run_id, view, self._state["version"])[0]

    def name_of(self, branch: Branch) -> tuple[str, str]:
        """Return node and branch of the step that is due on a branch, as events name them."""
        names = {number: name for name, number in self._ghosts.items()}
        name = names[branch.at] if branch.at in names else self.plan.tasks[branch.at].name
        return path_of(self.hops, name), branch_of(self.hops, branch.id)

    def notes_of(self, branch: str) -> Notes:
        """Return the notes of the step that is due on a branch."""
        notes = self.notes.get(branch)
        if notes is None:
            notes = self.notes[branch] = Notes()
        return notes

    def waits_for_answer(self, branch: Branch) -> bool:
        """Tell whether the step that is due on a branch has asked and was not answered."""
        notes = self.notes.get(branch.id)
        return notes is not None and any(ask.id in self.totals.open_asks for ask in notes.asks.values())

    def finished(self, branch: Branch) -> None:
        """Forget what was noted of the step that is over on a branch."""
        self.notes.pop(branch.id, None)
        self.inner.pop(branch.id, None)

    def _forget_attempts(self) -> None:
        for notes in self.notes.values():
            notes.attempts = 0
        for inner in self.inner.values():
            inner._forget_attempts()  # noqa: SLF001 - the same class

    def _descend(self, record: Mapping[str, Any]) -> "Past":
        hops: Hops = tuple((branch, node) for branch, node in record.get("in", ()))
        past = self
        for depth, (branch, node) in enumerate(hops):
            if branch not in past.inner:
                task = past.plan.tasks[past._number(node)]
                if task.inner is None:
                    raise past._other_form(node, "body", f'inner graph "{node}"')
                rename = renames_inside(past._rename, node)
                past.inner[branch] = Past(
                    task.inner.plan, self.run_id, self.totals, hops[: depth + 1], rename, self._watch
                )
            past = past.inner[branch]
        past._take(record)  # noqa: SLF001 - the same class
        return past

    def _added_to(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        """Return the defaults of fields that a walk was begun without, by what is known of its state."""
        is_inside_changed = self.hops and self._rename is not None  # of inner states only the values are known
        return added_fields(self.plan, {"fields": saved}) if is_inside_changed else self._added

    def _take(self, record: Mapping[str, Any]) -> None:
        self.newly_due = []
        match record["kind"]:
            case "input":
                values, taken = self._added_to(record["values"]) | self.restore(record["values"]), record["taken"]
                if self._watch:
                    self._watch(self, OPENED_BY_START, self._migrated(values), self._renamed(taken))
                self.newly_due = self.begin(values, self._targets(taken))
            case "step":
                self._take_step(record)
            case "taken":
                self._move(self.undecided.pop(record["branch"]), record["taken"])
            case kind:
                self._take_note(kind, record)

    def _branch(self, name: str) -> Branch | None:
        """Return a branch that is alive. An item that a record tells of was begun, however many may be at once now."""
        owner, _, number = name.rpartition(".")
        for one in () if name in self.walk.live else [*self.walk.live.values()]:
            frame = one.frames[-1] if one.frames else None
            if frame and frame.items and frame.owner.id == owner and number.isdecimal():
                while frame.items.next <= int(number) and self.walk.next_item(one):
                    pass
                break
        return self.walk.live.get(name)

    def _take_note(self, kind: str, record: Mapping[str, Any]) -> None:
        branch = self._branch(record["branch"])
        if branch is None or branch.at != self._number(record["node"]):
            return  # the step was over: what its node had left behind went on
        notes = self.notes_of(record["branch"])
        notes.times += record.get("times", ())
        match kind:
            case "attempt":
                notes.attempts = record["attempt"]
                self._spend(record)
            case "intent":
                effect = notes.effects.setdefault(record["key"], Effect(id=record.get("id", "")))
                effect.state, effect.intents = "in_doubt", effect.intents + 1
            case "effect":
                effect = notes.effects.setdefault(record["key"], Effect())
                effect.state, effect.result = "failed" if "error" in record else "done", to_json(record.get("result"))
            case _:  # "ask": `decode` lets nothing else pass
                self._take_ask(record, notes)

    def _take_ask(self, record: Mapping[str, Any], notes: Notes) -> None:
        ask = ask_of(record, self.hops)
        notes.asks[ask.key] = ask
        self.totals.asked(ask)

    def _take_step(self, record: Mapping[str, Any]) -> None:
        branch = self._branch(record["branch"])
        number = self._number(record["node"])
        if branch is None or branch.at != number or record["seq"] != self.totals.seq + 1:
            due = quoted(self.plan.tasks[one.at].name for one in self.walk.due() if one.at < len(self.plan.tasks))
            message = (
                f'run "{self.run_id}" holds step {record["seq"]} of node "{record["node"]}" where '
                f"step {self.totals.seq + 1} of {due} was due"
            )
            raise self._misfit(record["node"], "edges", message)
        self.finished(branch)
        self.totals.seq += 1
        self._spend(record)
        chooser = self.walk.absorb(branch, self.restore(record["writes"]))
        if chooser is None:
            self.newly_due = self.walk.next_item(branch)
        elif record["taken"] is None:
            self.undecided[chooser.id] = chooser
        else:
            self._move(chooser, record["taken"])

    def _move(self, branch: Branch, taken: Sequence[str]) -> None:
        if self._watch:
            self._watch(self, branch.at, self._migrated(branch.view), self._renamed(taken))
        self.newly_due = self.lead(branch, self._targets(taken))

    def begin(self, values: dict[str, Any], targets: Sequence[int]) -> list[Branch]:
        """Begin the walk, as `Walk.start` does; mark what a breakpoint holds."""
        return self._hold(self.walk.start(values, targets))

    def lead(self, branch: Branch, targets: Sequence[int]) -> list[Branch]:
        """Lead a branch on, as `Walk.move` does; mark what a breakpoint holds, now or once it has met the others."""
        branch.is_held = branch.at in self.plan.pause_after
        return self._hold(self.walk.move(branch, targets))

    def _hold(self, due: list[Branch]) -> list[Branch]:
        for branch in due:
            branch.is_held |= branch.at in self.plan.pause_before
        return due

    def pass_breakpoints(self) -> None:
        """Let every branch go past the breakpoint that holds it."""
        for branch in self.walk.live.values():
            branch.is_held = False
        for inner in self.inner.values():
            inner.pass_breakpoints()

    def _spend(self, record: Mapping[str, Any]) -> None:
        if "usage" in record:
            self.totals.usage += Usage.model_validate(record["usage"])

    def restore(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of fields, from their parsed JSON; what a changed graph has no more nothing can use."""
        fields, values = self.plan.fields, dict[str, Any]()
        for name, value in saved.items():
            if name not in fields:
                if self._rename is None or self._watch:  # who watches is told of every difference
                    raise self._other_form(name, "state", f'field "{name}"')
                continue
            try:
                restored = fields[name].values.restore(value)
                values[name] = restored if self._rename is None else fields[name].values.validate(restored)
            except ValueError as error:
                message = f'"{name}" that does not fit: {first_finding(error)}; got {short(value)}'
                raise self._misfit(name, "state", f'run "{self.run_id}" holds a write of {message}') from None
        return values

    def _renamed(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple([(self._rename or {}).get(name, name) for name in names])

    def _targets(self, names: Sequence[str]) -> tuple[int, ...]:
        return tuple([self._number(name) for name in names])

    def _number(self, name: str) -> int:
        if self._rename is not None:
            name = self._rename.get(name, name)
            if name not in self.plan.index:  # gone, which matters only if it is due: see `refuse_lost`
                return self._ghosts.setdefault(name, len(self.plan.tasks) + len(self._ghosts))
        elif name not in self.plan.index:
            raise self._other_form(name, "removed", f'node "{name}"')
        return self.plan.index[name]

    def refuse_lost(self) -> None:
        """Make sure that everything that the branches need to go on still exists, inside too.

        Raises:
            GraphChangedError: a node that is due or waited at, or an open fan-out, does not.
        """
        for name, number in self._ghosts.items():
            if any(branch.at == number for branch in self.walk.live.values()):
                raise self._other_form(name, "removed", f'node "{name}", which is due')
        names = {number: name for name, number in (*self.plan.index.items(), *self._ghosts.items())}
        for branch in self.walk.live.values():
            for frame in branch.frames:
                if not frame.items and not self.plan.allows(frame.opener, frame.targets):
                    opener = names.get(frame.opener, START)
                    raise self._other_form(opener, "edges", f'fan-out from "{opener}", which is open')
        for inner in self.inner.values():
            inner.refuse_lost()

    def _misfit(self, name: str, what: Any, message: str) -> LoomError:
        """Return the error for what does not fit: the graph's change is to blame, where there was one."""
        return CheckpointError(message) if self._rename is None else GraphChangedError(message, [Change(name, what)])

    def _other_form(self, name: str, what: Any, spoken: str) -> GraphChangedError:
        message = f'run "{self.run_id}" was begun with another form of graph "{self.plan.name}": it knew the {spoken}'
        return GraphChangedError(message, [Change(name, what)])
