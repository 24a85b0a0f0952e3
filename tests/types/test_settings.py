from collections.abc import Callable
from typing import Any, Literal

import pytest

from loom import ConfigError
from loom.types.settings import Settings


class Inner(Settings):
    limit: int = 3
    mode: Literal["on", "off"] = "on"


class Outer(Settings):
    name: str
    inner: Inner = Inner()
    names: list[str] = []
    choice: Inner | None = None


# Any: type checkers want settings by name.
INNER: Any = Inner
OUTER: Any = Outer


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Outer(name=…) is missing"),
        (
            {"name": "a", "nam": 1},
            'Outer has no setting "nam"; it has "choice", "inner", "name", "names". Did you mean "name"?',
        ),
        ({"name": 3}, "Outer(name=…) must be string, got int: 3"),
        ({"name": "a", "inner": {"limit": 3}}, "Outer(inner=…) must be Inner, got a mapping"),
        ({"name": "a", "choice": {"limit": 3}}, "Outer(choice=…) must be Inner, got a mapping"),
        ({"name": "a", "names": "abc"}, "Outer(names=…) must be list, got str: 'abc'"),
        ({"name": "a", "names": ["a", 3]}, "Outer(names[1]=…) must be string, got int: 3"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_got_and_what_is_wanted(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Outer(**given)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"), [({"limit": "3"}, "got str: '3'"), ({"mode": "of"}, "must be 'on' or 'off'")]
)
def test_nothing_is_converted(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Inner(**given)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Inner(limit="3", mode="of")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert "Inner(limit=…)" in str(caught.value)
    assert "Inner(mode=…)" in str(caught.value)


def test_settings_may_be_given_by_position_in_their_order() -> None:
    inner = INNER(5)
    assert inner == Inner(limit=5)
    assert OUTER("a", inner, ["b"], choice=inner) == Outer(name="a", inner=inner, names=["b"], choice=inner)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: INNER("5"), "Inner(limit=…) must be integer, got str: '5'"),
        (lambda: INNER(1, "on", 2), 'Inner has 2 settings, "limit", "mode"; got 3 by position'),
        (lambda: INNER(1, limit=2), "Inner(limit=…) is given twice, by position and by name"),
    ],
)
def test_what_is_wrong_at_a_position_is_named(make: Callable[[], Inner], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == said


class Sent(Settings):
    extensions: dict[str, Any] = {}


@pytest.mark.parametrize("setting", ["headers", "extra_headers"])
def test_headers_are_kept_and_not_shown(setting: str) -> None:
    headers = {"Authorization": "Bearer canary-1234"}
    sent = Sent(extensions={setting: headers, "top_p": 0.5})
    assert repr(sent) == f"Sent(extensions={{'{setting}': {{'Authorization': '[redacted]'}}, 'top_p': 0.5}})"
    assert str(sent) in repr(sent)
    assert sent.model_dump() == {"extensions": {setting: headers, "top_p": 0.5}}
    assert repr(Sent(extensions={setting: None})) == f"Sent(extensions={{'{setting}': None}})"


def test_settings_do_not_change_and_lists_are_copied() -> None:
    names = ["a"]
    made = Outer(name="a", names=names)
    names.append("b")
    assert made.names == ["a"]
    with pytest.raises(ValueError, match="frozen"):
        setattr(made, "name", "b")  # noqa: B010 - type checkers forbid the plain form
