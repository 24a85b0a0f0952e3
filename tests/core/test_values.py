# ruff: noqa: UP006, UP007, UP035, UP045 - the older spellings of types are among what is tested
import copy
import dataclasses
import datetime
import enum
import math
import pathlib
import sys
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Dict,
    ForwardRef,
    FrozenSet,
    List,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    Set,
    Tuple,
    TypeVar,
    Union,
    cast,
)

import pytest
from annotated_types import Gt
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    JsonValue,
    PlainSerializer,
    PrivateAttr,
    PydanticUserError,
    Secret,
    SecretBytes,
    SecretStr,
    SkipValidation,
    StringConstraints,
    ValidationError,
    WrapValidator,
    computed_field,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import from_json
from typing_extensions import TypeAliasType, TypedDict

from loom.core.values import Values, values_of

# Any: what is tested here takes every type and its values.

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mood(enum.StrEnum):
    GOOD = "good"


class Point(BaseModel, frozen=True):
    x: int
    name: str = ""


class Path(BaseModel, frozen=True):
    points: tuple[Point, ...] = ()


class Tree(BaseModel, frozen=True):
    children: tuple["Tree", ...] = ()


class Loose(BaseModel):
    tags: list[str] = []


class Box(BaseModel, frozen=True):
    tags: list[str] = []


class Open(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Hidden(BaseModel, frozen=True):
    _seen: list[str] = PrivateAttr(default=[])


class Aliased(BaseModel):
    user_id: int = Field(alias="userId")
    note: str = Field(default="", serialization_alias="Note")


class Excluded(BaseModel):
    shown: int = 0
    hidden: int = Field(default=0, exclude=True)


@dataclasses.dataclass
class Pair:
    left: int
    right: list[str]


class Row(TypedDict):
    name: str
    size: int


class Spot(NamedTuple):
    x: int
    y: int


class Text(str):
    __slots__ = ()


class Number(float):
    __slots__ = ()


class Client:
    """A live object."""


class Odd(BaseModel):
    thing: Any = Client()


UserId = NewType("UserId", int)
Names = TypeAliasType("Names", list[str])
Positive = Annotated[int, Gt(0)]
Doubled = Annotated[int, AfterValidator(lambda number: number * 2)]
Worded = Annotated[int, PlainSerializer(str)]
Unchecked = SkipValidation[int]


# What is known of a type.


@pytest.mark.parametrize(
    ("annotation", "is_plain", "is_exact"),
    [
        (bool, True, True),
        (int, True, True),
        (str, True, True),
        (None, True, True),
        (float, False, True),  # infinities are strings in JSON
        (list[int], True, True),
        (list[float], False, True),
        (list[list[str]], True, True),
        (dict[str, int], True, True),
        (dict[str, list[bool | None]], True, True),
        (dict[int, str], False, False),
        (int | None, True, True),
        (Optional[str], True, True),
        (Union[int, str], True, True),
        (float | None, False, True),
        (int | float, False, True),
        (str | float, False, False),  # "Infinity" would come back as a string
        (list[str] | list[float], False, False),
        (Literal["a", "b"], True, True),
        (Literal[1] | None, True, True),
        (Literal[Colour.RED], False, False),
        (tuple[int, ...], False, True),
        (tuple[int, str], False, True),
        (tuple[()], False, True),
        (set[str], False, True),
        (frozenset[int], False, True),
        (list[tuple[int, ...]], False, False),
        (tuple[tuple[int, ...], ...], False, False),
        (set[bytes], False, False),
        (Positive, True, True),
        (Annotated[str, StringConstraints(to_lower=True)], True, True),
        (Annotated[str, Field(max_length=3)], True, True),
        (Annotated[int, "metres"], True, True),
        (UserId, True, True),
        (Names, True, True),
        (Doubled, False, False),
        (Worded, False, False),
        (Unchecked, False, False),
        (list[Doubled], False, False),
        (set[Doubled], False, False),
        (bytes, False, False),
        (Decimal, False, False),
        (datetime.datetime, False, False),
        (Colour, False, False),
        (Level, False, False),
        (Point, False, False),
        (Pair, False, False),
        (Any, False, False),
        (object, False, False),
        (list, False, False),
        (List, False, False),
        (Dict, False, False),
        (Tuple, False, False),
        (Set, False, False),
        (FrozenSet, False, False),
        (Sequence[int], False, False),
        (JsonValue, False, False),
    ],
)
def test_what_json_gives_back_as_it_was_is_told_by_type(annotation: object, is_plain: bool, is_exact: bool) -> None:
    values = Values(annotation)
    assert (values.is_plain, values.is_exact) == (is_plain, is_exact)


@pytest.mark.parametrize(
    "annotation",
    [
        bool,
        str,
        bytes,
        complex,
        None,
        Literal["a"],
        Colour,
        Decimal,
        uuid.UUID,
        pathlib.Path,
        datetime.datetime,
        datetime.timedelta,
        int | None,
        tuple[int, ...],
        tuple[()],
        frozenset[str],
        tuple[Point, ...],
        Annotated[str, StringConstraints(min_length=1)],
        UserId,
        Point,
        Path,
        Tree,
        Point | Path | None,
    ],
)
def test_immutable_values_are_shared(annotation: object) -> None:
    assert Values(annotation).copy is None


@pytest.mark.parametrize(
    ("annotation", "method"),
    [
        (list[int], list[Any].copy),
        (list[Point], list[Any].copy),
        (Names, list[Any].copy),
        (dict[str, float], dict[Any, Any].copy),
        (dict[str, tuple[int, ...]], dict[Any, Any].copy),
        (set[str], set[Any].copy),
    ],
)
def test_containers_of_immutable_values_are_copied_flat(annotation: object, method: object) -> None:
    assert Values(annotation).copy == method


@pytest.mark.parametrize(
    "annotation",
    [
        list[list[int]],
        dict[str, list[int]],
        list[Loose],
        list[Any],
        list,
        List,
        Tuple,
        tuple[list[int], ...],
        Loose,
        Box,
        Open,
        Hidden,
        Pair,
        Row,
        Any,
        list[int] | None,
        tuple[Loose, ...],
    ],
)
def test_everything_else_is_copied_deep(annotation: object) -> None:
    assert Values(annotation).copy is copy.deepcopy


def test_a_type_is_looked_at_once() -> None:
    assert values_of(list[int]) is values_of(list[int])
    assert values_of(Annotated[int, {"unit": "s"}]).is_exact  # metadata that cannot be hashed


@pytest.mark.parametrize(
    ("annotation", "given", "checked"),
    [
        (int, Level.LOW, 1),
        (int, True, 1),
        (str, Mood.GOOD, "good"),
        (str, Text("a"), "a"),
        (float, Number(0.5), 0.5),
        (float, 1, 1.0),
        (bool, 1, True),
        (Literal[1], Level.LOW, 1),
        (int | str, Mood.GOOD, "good"),
        (list[str], (Text("a"), "b"), ["a", "b"]),
        (dict[str, int], {Text("a"): Level.HIGH}, {"a": 2}),
        (set[int], [1, True, 2], {1, 2}),
        (tuple[float, ...], [1, 2], (1.0, 2.0)),
    ],
)
def test_a_checked_value_is_of_the_type_itself_not_of_a_subclass(
    annotation: object, given: object, checked: object
) -> None:
    value = values_of(annotation).validate(given)
    assert same(value, checked)


# Round trips.


def same(a: object, b: object) -> bool:
    """Tell whether two values are equal in value and type, a NaN equal to another."""
    return spelled(a) == spelled(b)


def spelled(value: object) -> str:
    if type(value) in {set, frozenset}:
        return f"{type(value)} {sorted(map(repr, cast(Iterable[object], value)))}"
    return repr(value)


points = st.builds(Point, x=st.integers(), name=st.text())
SIMPLE: list[Any] = [
    bool,
    int,
    float,
    str,
    bytes,
    complex,
    Decimal,
    uuid.UUID,
    datetime.date,
    datetime.time,
    datetime.datetime,
    datetime.timedelta,
    Colour,
    Level,
    Literal["a", 1, True] | None,
    float | None,
    int | float,
    bool | int | str,
    str | float,
    Union[list[str], list[float], None],
    list[float],
    dict[str, float],
    dict[str, dict[str, list[int]]],
    dict[int, float],
    dict[Colour, int],
    tuple[int, float, str],
    tuple[float, ...],
    set[int | str | None],
    frozenset[float],
    list[tuple[int, ...]],
    set[bytes],
]
loose = st.none() | st.floats() | st.text() | st.binary() | points
MANY: list[tuple[Any, st.SearchStrategy[Any]]] = [
    *((annotation, st.from_type(annotation)) for annotation in SIMPLE),
    (Positive, st.integers()),
    (Doubled, st.integers()),
    (Worded, st.integers()),
    (Annotated[str, StringConstraints(strip_whitespace=True)], st.text()),
    (Point, points),
    (Path, st.builds(Path, points=st.lists(points).map(tuple))),
    (Tree, st.recursive(st.just(Tree()), lambda inner: st.builds(Tree, children=st.lists(inner).map(tuple)))),
    (Point | Loose, points | st.builds(Loose, tags=st.lists(st.text()))),
    (list[Point], st.lists(points)),
    (Aliased, st.builds(Aliased, userId=st.integers(), note=st.text())),
    (Pair, st.builds(Pair, left=st.integers(), right=st.lists(st.text()))),
    (Row, st.fixed_dictionaries({"name": st.text(), "size": st.integers()})),
    (Spot, st.builds(Spot, x=st.integers(), y=st.integers())),
    (Any, st.recursive(loose, lambda inner: st.lists(inner) | st.sets(st.text()) | st.tuples(inner, inner))),
    (JsonValue, st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner))),
]


@given(st.sampled_from(MANY).flatmap(lambda one: st.tuples(st.just(one[0]), one[1])))
def test_what_a_later_step_sees_is_what_a_resumed_run_reads(case: tuple[Any, Any]) -> None:
    annotation, drawn = case
    values = values_of(annotation)
    try:
        seen, saved = values.settle(drawn)
    except ValueError:  # refused, with the node's name, where it is written
        assume(False)
        raise
    assert same(seen, values.load_json(saved))
    assert same(values.restore(from_json(saved)), seen)


def changeable(value: object) -> set[int]:
    """Return the identities of everything in a value that could be changed."""
    kind: object = type(value)
    inner: list[object] = []
    if isinstance(value, (BaseModel, Pair)):
        inner = [*vars(value).values()]
    elif kind is dict:
        inner = [*cast(dict[object, object], value).values()]
    elif kind in {list, tuple, set}:
        inner = [*cast(Iterable[object], value)]
    is_fixed = kind not in {list, dict, set, Loose, Aliased, Pair}
    return set[int]().union(*map(changeable, inner), set() if is_fixed else {id(value)})


@given(st.sampled_from(MANY).flatmap(lambda one: st.tuples(st.just(one[0]), one[1])))
def test_a_copy_equals_its_value_and_shares_nothing_that_can_change(case: tuple[Any, Any]) -> None:
    annotation, drawn = case
    values = values_of(annotation)
    try:
        value, _ = values.settle(drawn)
    except ValueError:
        assume(False)
        raise
    handed_out = values.copy(value) if values.copy else value
    assert same(handed_out, value)
    assert not changeable(handed_out) & changeable(value)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, -0.0, 1e22, 5e-324])
def test_floats_come_back_as_floats(number: float) -> None:
    for annotation, value in ((float, number), (list[float], [number]), (float | None, number), (set[float], {number})):
        values = values_of(annotation)
        seen, saved = values.settle(value)
        assert same(values.restore(from_json(saved)), seen)
        assert same(seen, value)


def test_an_infinity_where_a_string_may_stand_is_seen_as_the_string_that_comes_back() -> None:
    values = values_of(str | float)
    seen, saved = values.settle(math.inf)
    assert seen == "Infinity"
    assert values.restore(from_json(saved)) == "Infinity"


class Scored(BaseModel):
    score: float | None = None
    scores: list[float] = []


@dataclasses.dataclass
class Weighed:
    weight: float


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_an_infinity_inside_a_record_comes_back_as_itself(number: float) -> None:
    for annotation, value in (
        (Scored, Scored(score=number, scores=[number, 1.5])),
        (list[Scored], [Scored(score=number)]),
        (Scored | None, Scored(scores=[number])),
        (Weighed, Weighed(number)),
        (dict[str, Weighed], {"a": Weighed(number)}),
    ):
        values = values_of(annotation)
        seen, saved = values.settle(value)
        assert same(seen, value)
        assert same(values.restore(from_json(saved)), value)


def test_what_is_loosely_typed_is_seen_as_what_comes_back() -> None:
    values = values_of(Any)
    value = (1, {"a"}, Point(x=1), Text("t"), math.nan)
    assert values.settle(value)[0] == [1, ["a"], {"x": 1, "name": ""}, "t", "NaN"]


@pytest.mark.parametrize(("annotation", "value"), [(str, "\ud800"), (Any, ["\ud800"]), (list[str], ["a", "\udfff"])])
def test_lone_surrogates_are_refused(annotation: object, value: object) -> None:
    values = values_of(annotation)
    with pytest.raises(ValueError, match=r"surrogate|unicode|utf"):
        values.dump(values.validate(value))


def test_a_live_object_in_a_loosely_typed_value_is_refused() -> None:
    with pytest.raises(ValueError, match="Client"):
        values_of(Any).dump([Client()])


def test_models_are_saved_under_the_names_of_their_fields_whatever_their_aliases() -> None:
    values = values_of(Aliased)
    seen, saved = values.settle({"userId": 3, "note": "n"})
    assert from_json(saved) == {"user_id": 3, "note": "n"}
    assert seen == values.validate({"userId": 3, "note": "n"})


def test_a_validator_is_seen_to_run_on_what_comes_back() -> None:
    values = values_of(Doubled)
    seen, saved = values.settle(1)
    assert seen == values.restore(from_json(saved)) == 4


def test_a_model_that_was_written_is_not_the_one_that_is_seen() -> None:
    given = Loose(tags=["a"])
    values = values_of(Loose)
    seen, _ = values.settle(given)
    given.tags.append("b")
    assert seen == Loose(tags=["a"])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="an alias inside itself needs the type statement")
def test_an_alias_inside_itself_is_known_for_what_it_is() -> None:
    scope: dict[str, Any] = {}
    exec("type Deep = list[Deep] | int", scope)
    values = values_of(scope["Deep"])
    assert (values.is_plain, values.is_exact, values.flaw) == (False, False, "")
    assert values.settle([1, [2]])[0] == [1, [2]]


@pytest.mark.parametrize("annotation", [ForwardRef("Nowhere"), Annotated[Point | Path, Field(discriminator="x")]])
def test_what_pydantic_cannot_understand_is_an_error(annotation: object) -> None:
    with pytest.raises(PydanticUserError):
        values_of(annotation)


def test_the_schema_is_that_of_what_may_be_given() -> None:
    assert values_of(Worded).schema() == {"type": "integer"}


def test_plain_values_of_unknown_origin_are_checked() -> None:
    assert values_of(Positive).restore(-1) == -1  # it was checked when it was saved
    with pytest.raises(ValidationError):
        values_of(Positive).read(-1)


# What cannot be saved.


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        float,
        Any,
        Point,
        Tree,
        Pair,
        Row,
        Spot,
        JsonValue,
        Colour,
        Decimal,
        pathlib.Path,
        list[Loose | None],
        Odd,
        Doubled,
        Annotated[Client, BeforeValidator(lambda _: Client()), PlainSerializer(lambda _: "client", return_type=str)],
        Annotated[Client, WrapValidator(lambda _, __: Client()), PlainSerializer(lambda _: "client", return_type=str)],
    ],
)
def test_what_has_a_json_form_to_go_and_come_has_no_flaw(annotation: object) -> None:
    assert values_of(annotation).flaw == ""


@pytest.mark.parametrize(
    "annotation",
    [
        Client,
        Client | None,
        Client | int,
        list[Client],
        dict[str, Client],
        Callable[[int], str],
        Callable[[], None] | int,
        type[Point],
        Iterator[int],
        Iterable[str],
        Excluded,
        list[Excluded],
        Annotated[Client, PlainSerializer(lambda _: "client", return_type=str)],  # goes, but does not come back
    ],
)
def test_what_cannot_be_saved_is_told_with_a_remedy(annotation: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a program, where pydantic's warning is no error
        flaw = Values(annotation).flaw
    assert flaw.endswith("; live objects (clients, connections) belong to Runtime")


class Tag(str, enum.Enum):  # noqa: UP042 - as it was written before there was a StrEnum
    ONE = "one"


class Sorted(BaseModel):
    colour: Literal[Colour.RED] = Colour.RED


class Cool(BaseModel):
    colour: Literal[Colour.BLUE] = Colour.BLUE


class Raw(BaseModel):
    content: bytes = b""


class Half(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64")

    content: bytes | None = None


class Whole(BaseModel):
    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")

    content: list[bytes] = []


class Coded(BaseModel):
    content: Base64Bytes = b""


@dataclasses.dataclass
class RawPair:
    content: bytes


@dataclasses.dataclass
class Around:
    inner: list[Whole]


class RawRow(TypedDict):
    content: bytes


class Refilled(BaseModel):
    size: int = 1
    _double: int = PrivateAttr(0)

    def model_post_init(self, context: Any, /) -> None:
        self._double = self.size * 2


class Computed(BaseModel, extra="forbid"):
    side: int = 2

    @computed_field  # type: ignore[prop-decorator]  # as pydantic would have it
    @property
    def area(self) -> int:
        return self.side**2


class Parsed(BaseModel):
    content: Json[dict[str, int]]


BYTES = 'The bytes in a record would not come back as they were; let it say ConfigDict(ser_json_bytes="base64", val_js'
LITERAL = "A Literal of bytes, or of members of a plain Enum, would not come back; base the Enum on str"
KEYS = "A dict whose keys are made of several values would not come back; use a list"


@pytest.mark.parametrize(
    ("annotation", "flaw"),
    [
        (Literal[Colour.RED], LITERAL),
        (Literal[b"a"], LITERAL),
        (Sorted, LITERAL),
        (Annotated[Sorted | Cool, Field(discriminator="colour")], LITERAL),
        (int | Sorted, LITERAL),
        (dict[tuple[int, int], str], KEYS),
        (dict[tuple[int, ...] | str, str], KEYS),
        (dict[frozenset[str], str], KEYS),
        (dict[Annotated[Spot, "a place"], str], KEYS),
        (list[Mapping[Point, str]], KEYS),
        (Raw, BYTES),
        (list[Raw | None], BYTES),
        (Half, BYTES),
        (RawPair, BYTES),
        (RawRow, BYTES),
        (Hidden, 'The private attribute "_seen" of Hidden would be lost; make it a field'),
        (Json, "Json takes a text and is another value then; say the type of that"),
        (list[Json[list[int]]], "Json takes a text and is another value then; say the type of that"),
    ],
)
def test_what_would_come_back_as_something_else_is_told_with_what_to_do(annotation: object, flaw: str) -> None:
    assert Values(annotation).flaw.startswith(flaw)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Literal[Level.LOW, Tag.ONE, Mood.GOOD], Tag.ONE),
        (dict[Colour, int], {Colour.RED: 1}),
        (dict[int | uuid.UUID, int], {1: 1}),
        (dict[Literal["a"], int], {"a": 1}),
        (bytes, b"\xff"),
        (dict[str, list[bytes]], {"a": [b"\xff"]}),
        (list[RawRow], [{"content": b"\xff"}]),
        (Whole, Whole(content=[b"\xff"])),
        (Around, Around([Whole(content=[b"\xff"])])),
        (Coded, Coded(content=b"YQ==")),
        (Refilled, Refilled(size=2)),
        (Computed, Computed(side=3)),
        (list[Computed], [Computed(side=3)]),
        (Parsed, Parsed(content='{"a": 1}')),  # type: ignore[arg-type]  # which is how it is given
    ],
)
def test_what_has_a_form_of_its_own_comes_back_as_it_was(annotation: object, value: object) -> None:
    values = Values(annotation)
    assert values.flaw == ""
    seen, saved = values.settle(value)
    assert seen == value
    assert values.restore(from_json(saved)) == value


class Login(BaseModel):
    name: str
    password: SecretStr


class Account(BaseModel):
    logins: list[Login]


@dataclasses.dataclass
class Keys:
    key: SecretStr


class Token(TypedDict):
    value: SecretBytes


class Ring(NamedTuple):
    key: Secret[int]


@pytest.mark.parametrize(
    ("annotation", "secret"),
    [
        (SecretStr, "SecretStr"),
        (SecretBytes, "SecretBytes"),
        (Secret[int], "Secret"),
        (SecretStr | None, "SecretStr"),
        (dict[str, list[SecretStr]], "SecretStr"),
        (Account, "SecretStr"),
        (tuple[Account, ...], "SecretStr"),
        (Keys, "SecretStr"),
        (Token, "SecretBytes"),
        (Ring, "Secret"),
        (Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value())], "SecretStr"),
    ],
)
def test_a_secret_is_found_however_deep_it_lies(annotation: object, secret: str) -> None:
    flaw = f"{secret} is a secret, which a saved state would lose; keep secrets in the environment"
    assert Values(annotation).flaw == flaw


def test_types_of_a_functions_own_scope_are_left_to_pydantic() -> None:
    class Inside(BaseModel):
        one: int = 0

    @pydantic_dataclass
    class Local:
        inside: "Inside"

    assert Values(Local).flaw == ""
