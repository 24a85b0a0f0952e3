import dataclasses
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom import Cache, ConfigError, Limits, MemoryCheckpointer, Retry, Runtime
from loom.core.runtime import NO_LIMITS
from loom.testing.scripted import ScriptedModel


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Retry(max_attempts=0), "Retry(max_attempts=…) must be a whole number of at least 1; got int: 0"),
        (
            lambda: Retry(max_attempts=cast(Any, 2.5)),
            "Retry(max_attempts=…) must be a whole number of at least 1; got float: 2.5",
        ),
        (
            lambda: Retry(max_attempts=True),
            "Retry(max_attempts=…) must be a whole number of at least 1; got bool: True",
        ),
        (lambda: Retry(backoff_s=-1), "Retry(backoff_s=…) must be a number of at least 0; got int: -1"),
        (
            lambda: Retry(max_backoff_s=cast(Any, "3")),
            "Retry(max_backoff_s=…) must be a number of at least 0; got str: '3'",
        ),
        (lambda: Retry(on=cast(Any, ValueError)), "Retry(on=…) must be a tuple of exception types; got <class"),
        (lambda: Retry(on=cast(Any, (3,))), "Retry(on=…) must be a tuple of exception types; got (3,)"),
        (lambda: Retry(on=cast(Any, (int,))), "Retry(on=…) must be a tuple of exception types; got (<class 'int'>,)"),
        (lambda: Retry(on=cast(Any, (KeyboardInterrupt,))), "Retry(on=…) must be a tuple of exception types"),
        (lambda: Cache(max_entries=0), "Cache(max_entries=…) must be a whole number of at least 1; got int: 0"),
        (lambda: Cache(ttl_s=-1), "Cache(ttl_s=…) must be more than 0 seconds; got int: -1"),
        (lambda: Cache(ttl_s=0), "Cache(ttl_s=…) must be more than 0 seconds; got int: 0"),
        (lambda: Limits(max_steps=-1), "Limits(max_steps=…) must be a whole number of at least 0; got int: -1"),
        (
            lambda: Limits(max_tokens=cast(Any, 1.5)),
            "Limits(max_tokens=…) must be a whole number of at least 0; got float: 1.5",
        ),
        (lambda: Limits(max_cost_usd=-0.1), "Limits(max_cost_usd=…) must be a number of at least 0; got float: -0.1"),
        (
            lambda: Limits(deadline_s=float("nan")),
            "Limits(deadline_s=…) must be a number of at least 0; got float: nan",
        ),
        (
            lambda: Limits(grace_s=cast(Any, None)),
            "Limits(grace_s=…) must be a number of at least 0; got NoneType: None",
        ),
        (lambda: Runtime(models=cast(Any, "gpt")), "Runtime(models=…) must be a model, or map names to models"),
        (lambda: Runtime(tools=cast(Any, [3])), "Runtime(tools=…) must map names to tools; got [3]"),
        (lambda: Runtime(resources=cast(Any, [3])), "Runtime(resources=…) must map names to objects; got [3]"),
        (lambda: Runtime(secrets=cast(Any, "key")), "Runtime(secrets=…) must be a tuple of texts"),
        (lambda: Runtime(secrets=cast(Any, ("key", 3))), "Runtime(secrets=…) must be a tuple of texts"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_a_refused_secret_is_not_told() -> None:
    with pytest.raises(ConfigError) as caught:
        Runtime(secrets=cast(Any, "s3cr3t"))
    assert "s3cr3t" not in str(caught.value)


def test_the_edge_of_what_is_allowed_is_allowed() -> None:
    assert Retry(max_attempts=1, backoff_s=0, max_backoff_s=0, on=()).max_attempts == 1
    assert Limits(max_steps=0, max_tokens=0, max_cost_usd=0, deadline_s=0, grace_s=0).max_steps == 0
    assert Cache().ttl_s is None
    assert Cache(ttl_s=0.001, max_entries=1).max_entries == 1
    assert Retry(on=(ValueError, TimeoutError)).on == (ValueError, TimeoutError)


def test_pauses_double_up_to_the_longest() -> None:
    retry = Retry(backoff_s=0.5, max_backoff_s=3, jitter=False)
    assert [retry.pause_s(attempt, 0.3) for attempt in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 3, 3]


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1e300), st.floats(0, 1e300))
def test_a_jittered_pause_is_half_of_the_whole_or_more(
    attempt: int, chance: float, backoff_s: float, max_backoff_s: float
) -> None:
    whole = Retry(backoff_s=backoff_s, max_backoff_s=max_backoff_s, jitter=False).pause_s(attempt, chance)
    jittered = Retry(backoff_s=backoff_s, max_backoff_s=max_backoff_s).pause_s(attempt, chance)
    assert 0 <= whole <= max_backoff_s
    assert whole / 2 <= jittered <= whole


def test_a_runtime_that_says_nothing_has_no_limits_and_the_clock_of_the_machine() -> None:
    runtime = Runtime()
    assert (runtime.limits, runtime.checkpointer, runtime.models, dict(runtime.tools)) == (NO_LIMITS, None, None, {})
    assert runtime.clock is time.time
    assert Limits() == NO_LIMITS


def test_a_runtime_is_frozen_and_changed_by_copy() -> None:
    runtime = Runtime(limits=Limits(max_steps=3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(runtime, "limits", NO_LIMITS)  # noqa: B010 - what a type checker would refuse
    store = MemoryCheckpointer()
    assert dataclasses.replace(runtime, checkpointer=store) == Runtime(checkpointer=store, limits=Limits(max_steps=3))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"limits": 5}, "Runtime(limits=…) must be a Limits; got 5"),
        ({"clock": 5}, "Runtime(clock=…) must be a function that gives Unix seconds; got 5"),
        (
            {"checkpointer": "loom.db"},
            "Runtime(checkpointer=…) must be a store, as SqliteCheckpointer(path); got 'loom.db'",
        ),
        (
            {"checkpointer": MemoryCheckpointer},
            "Runtime(checkpointer=…) must be a store, as SqliteCheckpointer(path); got <class 'loom.checkpoint.memory.",
        ),
        ({"checkpointer": []}, "Runtime(checkpointer=…) must be a store, as SqliteCheckpointer(path); got []"),
        (
            {"models": ScriptedModel},
            "Runtime(models=…) must be a model, or map names to models; got <class 'loom.testing.scripted.S",
        ),
        ({"tools": ["x"]}, "Runtime(tools=…) must map names to tools; got ['x']"),
        ({"resources": 5}, "Runtime(resources=…) must map names to objects; got 5"),
    ],
)
def test_a_runtime_of_the_wrong_parts_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Runtime(**settings)
    assert said in str(caught.value)
