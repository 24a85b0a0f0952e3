"""Tests of arguments on their way through JSON and back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from loom.errors import ConfigError
from loom.tools.door import Door
from loom.tools.tool import ToolSpec, tool
from loom.types.policy import SafetyRule

pytestmark = pytest.mark.anyio
T = TypeVar("T")


class Aliased(BaseModel):
    the_x: int = Field(alias="theX")


class Generated(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    the_x: int
    more: "list[Generated]" = []


class Either(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    the_x: int = Field(alias="theX")


class ReadAs(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    the_x: int = Field(validation_alias="theX")


class WrittenAs(BaseModel):
    the_x: int = Field(serialization_alias="theX")


class Choice(BaseModel):
    the_x: int = Field(validation_alias=AliasChoices("the_x", "theX"))


class Typed(TypedDict):
    the_x: Annotated[int, Field(alias="theX")]


@dataclass
class Flat:
    x: int = 1


class Counted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return 2 * self.x


class Named(BaseModel):
    """Fields that are called as pieces of a schema are."""

    fields: int = Field(alias="default")
    choices: int = Field(alias="config", default=3)
    type: str = Field(alias="ref", default="definition-ref")


class Pair(NamedTuple):
    x: int
    y: int = 0


class Box(BaseModel, Generic[T]):
    content: T


def taking(hint: Any) -> ToolSpec[..., Any]:
    """Return a tool that takes one argument of a type, and returns how it reads."""

    def take(x: Any) -> str:
        return repr(x)

    take.__annotations__["x"] = hint
    return tool(take)


WORKING: list[tuple[Any, Any, Any]] = [
    (Aliased, {"theX": 1}, {"theX": 1}),
    (list[Aliased] | None, [{"theX": "1"}], [{"theX": 1}]),
    (dict[str, Box[Aliased]], {"a": {"content": {"theX": 1}}}, {"a": {"content": {"theX": 1}}}),
    (Generated, {"theX": 1, "more": [{"theX": 2}]}, {"theX": 1, "more": [{"theX": 2, "more": []}]}),
    (Either, {"the_x": 1}, {"theX": 1}),
    (ReadAs, {"theX": 1}, {"the_x": 1}),
    (WrittenAs, {"the_x": 1}, {"the_x": 1}),
    (Choice, {"theX": 1}, {"the_x": 1}),
    (Typed, {"theX": 1}, {"theX": 1}),
    (Flat, {"x": "2"}, {"x": 2}),
    (Counted, {"x": 2}, {"x": 2}),
    (Named, {"default": 1}, {"default": 1, "config": 3, "ref": "definition-ref"}),
    (Json[list[int]], "[1]", "[1]"),
    (Pair, [1], [1, 0]),
    (date, "2026-01-02", "2026-01-02"),
]


@pytest.mark.parametrize(("hint", "given", "saved"), WORKING)
async def test_what_a_model_is_told_to_give_reaches_the_tool(hint: Any, given: Any, saved: Any) -> None:
    took = taking(hint)
    assert took.validated({"x": given}) == {"x": saved}
    assert took.validated({"x": saved}) == {"x": saved}
    done = await Door([took]).call("take", x=given)
    assert not done.is_error, done.text


async def test_a_rule_finds_a_value_behind_an_alias() -> None:
    rule = SafetyRule.when_argument_equals(name="r", tool_name="take", argument="x", value=13, reason="unlucky")
    decision = Door([taking(Aliased)], rules=[rule])
    assert (await decision.call("take", x={"theX": 12})).text == "Aliased(the_x=12)"
    with pytest.raises(Exception, match="unlucky"):
        await decision.call("take", x={"theX": 13})


class ReadOnlyAs(BaseModel):
    the_x: int = Field(validation_alias="theX")


class Path(BaseModel):
    the_x: int = Field(validation_alias=AliasPath("x", 0))


class Mixed(BaseModel):
    one: Aliased
    two: WrittenAs


class Left(BaseModel):
    x: int
    note: str = Field(default="", exclude=True)


class Login(BaseModel):
    key: SecretStr


class Number(BaseModel):
    key: list[Secret[int]]


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        (ReadOnlyAs, 'has "the_x", which is read from "theX" and written to "the_x"; give it one alias for both'),
        (Path, 'has "the_x", which is read from none and written to "the_x"'),
        (Mixed, 'has "the_x", which is read from "the_x" and written to "theX"'),
        (list[Left], 'excludes "note", but a tool is called with what was saved'),
        (Annotated[int, Field(exclude=True)], 'excludes "x"'),
        (SecretStr, "holds a secret, but arguments are saved and shown"),
        (SecretBytes | None, "holds a secret"),
        (list[Secret[int]], "holds a secret"),
        (Login, "holds a secret"),
        (dict[str, Number], "holds a secret"),
        (BaseModel, "is a BaseModel, which has no fields"),
        (list[BaseModel], "is a BaseModel, which has no fields"),
        (Box[BaseModel], "is a BaseModel, which has no fields"),
    ],
)
def test_what_no_call_could_carry_is_refused_when_the_tool_is_made(hint: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        taking(hint)
    assert str(caught.value).startswith('tool "take": the parameter "x" ')
    assert told in str(caught.value)


def no_number(x: float = float("nan")) -> None: ...
def no_end(x: float = float("inf")) -> None: ...
def inside(x: list[float] = [float("nan")]) -> None: ...  # noqa: B006
def grows(x: Annotated[str, AfterValidator(lambda text: text + "!")] = "a") -> None: ...


@pytest.mark.parametrize(
    ("fn", "told"),
    [
        (no_number, 'the default of "x" is no JSON: nan'),
        (no_end, 'the default of "x" is no JSON: inf'),
        (inside, 'the default of "x" is no JSON: [nan]'),
        (grows, "the default of \"x\" changes on its way through JSON: 'a'"),
    ],
)
def test_a_default_with_which_no_call_could_be_made_is_refused(fn: Callable[..., None], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tool(fn)
    assert str(caught.value).startswith(f'tool "{fn.__name__}": {told}')


async def test_a_default_is_converted_as_an_argument_is() -> None:
    @tool
    def find(
        tags: list[str] = (),  # type: ignore[assignment]
        limit: int = "5",  # type: ignore[assignment]
        at: Aliased = Aliased(theX=3),  # noqa: B008
        name: Annotated[str, AfterValidator(str.upper)] = "a",
        more: list[int] = Field(default_factory=lambda given: [given["limit"]]),  # noqa: B008
    ) -> str:
        return f"{tags} {limit} {at!r} {name} {more}"

    assert find.validated({}) == {"tags": [], "limit": 5, "at": {"theX": 3}, "name": "A", "more": [5]}
    assert await find.call({}) == "[] 5 Aliased(the_x=3) A [5]"
