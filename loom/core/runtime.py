"""What a run is given from outside: storage, models, tools, limits, a clock."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loom.errors import ConfigError, short
from loom.types.given import check_count, check_number, check_seconds

if TYPE_CHECKING:  # only names here: a graph is declared without loading what its run will need
    from loom.core.journal import Checkpointer
    from loom.types.models import Model
    from loom.types.tools import Tool


def check_store(what: str, given: object) -> None:
    """Refuse with a ConfigError what is no store."""
    if _lacks(given, "claim"):
        raise ConfigError(f"{what} must be a store, as SqliteCheckpointer(path); got {short(given)}")


def _lacks(given: object, method: str) -> bool:
    """Tell whether there is no such method to call: a class has it, but for its instances."""
    return isinstance(given, type) or not hasattr(given, method)


def _is_exception(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, Exception)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a failing node is tried.

    The pause before attempt `n + 1` is `backoff_s * 2 ** (n - 1)`, at most `max_backoff_s`; with
    `jitter` a random part of it, between half and all. `on` are the exceptions worth another try.
    """

    max_attempts: int = 3
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    jitter: bool = True
    on: tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        check_count("Retry(max_attempts=…)", self.max_attempts)
        check_number("Retry(backoff_s=…)", self.backoff_s)
        check_number("Retry(max_backoff_s=…)", self.max_backoff_s)
        if not isinstance(self.on, tuple) or not all(map(_is_exception, self.on)):
            raise ConfigError(f"Retry(on=…) must be a tuple of exception types; got {short(self.on)}")

    def pause_s(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after the failed attempt of this number (from 1); `chance` is from 0 to 1."""
        doubled = 2.0 ** min(attempt - 1, 1000)  # more is no float
        pause = min(self.backoff_s * doubled, self.max_backoff_s)
        return pause * (0.5 + chance / 2) if self.jitter else pause


@dataclass(frozen=True, slots=True)
class Cache:
    """Keep what a node gave, and give it again for equal inputs instead of running the node.

    Kept in the process, with the compiled graph: for `ttl_s` seconds (None: for ever), the
    `max_entries` used last. The key is the node's fingerprint and its inputs.
    """

    ttl_s: float | None = None
    max_entries: int = 1024

    def __post_init__(self) -> None:
        check_count("Cache(max_entries=…)", self.max_entries)
        if self.ttl_s is not None:
            check_seconds("Cache(ttl_s=…)", self.ttl_s)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a run stops by itself, checked before each step. None is no limit.

    `max_steps`, `max_tokens` and `max_cost_usd` count over the whole run, resumes included;
    with a `max_cost_usd` a run also stops, for the reason `unknown_cost`, once a model's price is unknown.
    `deadline_s` counts from each call of `run` or `resume`, and cuts off a call of a model: its step
    is run again by a `resume`. `grace_s` is how long a `once` of effect
    `write` may go on when the run is cancelled.
    """

    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    deadline_s: float | None = None
    grace_s: float = 10.0

    def __post_init__(self) -> None:
        for name, value in (("max_steps", self.max_steps), ("max_tokens", self.max_tokens)):
            if value is not None:
                check_count(f"Limits({name}=…)", value, least=0)
        for name, amount in (("max_cost_usd", self.max_cost_usd), ("deadline_s", self.deadline_s)):
            if amount is not None:
                check_number(f"Limits({name}=…)", amount)
        check_number("Limits(grace_s=…)", self.grace_s)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a run is given from outside; live objects stand here, never in a state.

    `models` replaces models: one for all, or by `ModelRef.identifier`. Without a `checkpointer` the
    app keeps one in memory. `clock` gives Unix seconds. `secrets` are texts that must not be saved:
    wherever one stands in an input, a write, an event or an error, `[redacted]` is saved, and seen by
    later steps, in its place. `strict` checks at every step, at some cost, what else is decided by type:
    that a node changes nothing but what it returns, and that what later steps see equals its saved JSON.
    `resources` are live objects that nodes reach by name.
    """

    checkpointer: "Checkpointer | None" = None
    models: "Model | Mapping[str, Model] | None" = None
    tools: "Mapping[str, Tool]" = field(default_factory=dict[str, Any])
    limits: Limits = NO_LIMITS
    clock: Callable[[], float] = time.time
    secrets: tuple[str, ...] = ()
    strict: bool = False
    # Any: whatever the nodes of a graph agree on.
    resources: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if not isinstance(self.limits, Limits):
            raise ConfigError(f"Runtime(limits=…) must be a Limits; got {short(self.limits)}")
        if not callable(self.clock):
            raise ConfigError(f"Runtime(clock=…) must be a function that gives Unix seconds; got {short(self.clock)}")
        if self.checkpointer is not None:
            check_store("Runtime(checkpointer=…)", self.checkpointer)
        if self.models is not None and not isinstance(self.models, Mapping) and _lacks(self.models, "complete"):
            raise ConfigError(f"Runtime(models=…) must be a model, or map names to models; got {short(self.models)}")
        if not isinstance(self.tools, Mapping):
            raise ConfigError(f"Runtime(tools=…) must map names to tools; got {short(self.tools)}")
        if not isinstance(self.resources, Mapping):
            raise ConfigError(f"Runtime(resources=…) must map names to objects; got {short(self.resources)}")
        secrets: object = self.secrets
        if not isinstance(secrets, tuple) or not all(isinstance(one, str) for one in self.secrets):
            raise ConfigError("Runtime(secrets=…) must be a tuple of texts")  # which are shown nowhere
