"""What is recorded of a value is what comes back, or it is refused."""

import dataclasses
import datetime as dt
import decimal
import enum
import re
import uuid
from typing import Any, Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, PrivateAttr, SecretStr, TypeAdapter
from pydantic_core import core_schema
from typing_extensions import TypedDict

from saga_es.authoring.codec import decode, encode, encode_given
from saga_es.errors import InvalidInput, PayloadTooLarge

LIMITS = {"what": "the result of 'book'", "max_payload": 1_000, "max_depth": 8}


class Flight(BaseModel):
    number: int


class NightFlight(Flight):
    meals: int = 1


class Kept(BaseModel):
    number: int
    _lock: object = PrivateAttr(default_factory=object)


class Aliased(BaseModel):
    read: int = Field(validation_alias="toRead")
    both: int = Field(alias="bothWays")
    written: int = Field(serialization_alias="asWritten")


class Strict(BaseModel):
    on: dt.date

    model_config = ConfigDict(strict=True)


class Infinite(BaseModel):
    number: float

    model_config = ConfigDict(ser_json_inf_nan="constants")


class Price:
    """A type without ``__eq__``."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.of, serialization=core_schema.plain_serializer_function_ser_schema(lambda price: price.cents)
        )

    @classmethod
    def of(cls, value: Any) -> Self:
        return value if isinstance(value, cls) else cls(value)


class Broken(Price):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError


@dataclasses.dataclass
class Offer:
    price: Price
    seats: list[int]


class Colour(enum.Enum):
    RED = "red"


class Seat(TypedDict):
    row: int


def coded(annotation: Any, value: Any) -> Any:
    adapter = TypeAdapter(annotation)
    return decode(adapter, encode(adapter, value, **LIMITS))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Flight, Flight(number=1)),
        (list[Flight], [Flight(number=1)]),
        (Aliased, Aliased(toRead=1, bothWays=2, written=3)),
        (Strict, Strict(on=dt.date(2026, 11, 24))),
        (Colour, Colour.RED),
        (float, 3),
        (int | str, "3"),
        (dt.datetime, dt.datetime(2026, 11, 24, tzinfo=dt.UTC)),
        (dt.timedelta, dt.timedelta(days=1, microseconds=1)),
        (uuid.UUID, uuid.UUID(int=1)),
        (decimal.Decimal, decimal.Decimal("1.10")),
        (set[str], {"a", "b"}),
        (tuple[int, ...], (1, 2)),
        (dict[int, str], {1: "a"}),
        (bytes, b"abc"),
        (Seat, {"row": 1}),
        (Any, {"a": [1, None, "NaN \\u0000", 1.5, True]}),
        (None, None),
        (int | list[int] | str | bool | dict[str, int] | None, False),
        (list[int], []),
    ],
)
def test_what_fits_comes_back_the_same(annotation, value):
    back = coded(annotation, value)
    assert back == value


def test_types_without_equality_count_as_the_same_when_they_are_written_the_same():
    assert coded(Price, Price(3)).cents == 3
    assert coded(list[Price], [Price(3)])[0].cents == 3
    assert coded(dict[str, Price], {"a": Price(3)})["a"].cents == 3
    assert coded(Offer, Offer(Price(3), [1])).price.cents == 3
    assert coded(Kept, Kept(number=1)).number == 1


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Flight, NightFlight(number=1)),
        (list[Flight], [NightFlight(number=1)]),
        (dict[str, Flight], {"a": NightFlight(number=1)}),
        (Any, (1, 2)),
        (Any, [(1, 2)]),
        (Any, {1: 2}),
        (Any, {1, 2}),
        (Any, dt.date(2026, 11, 24)),
        (Any, Flight(number=1)),
        (Any, float("nan")),
        (Any, float("inf")),
        (float | None, float("inf")),
        (float, float("inf")),
        (Infinite, Infinite(number=float("-inf"))),
        (Infinite, Infinite(number=float("nan"))),
        (int, "5"),
        (int, object()),
        (list[Flight], [1]),
        (None, 1),
        (SecretStr, SecretStr("x")),
        (Seat, {"row": 1, "more": 2}),
        (str, "\ud800"),
        (str, "a\x00b"),
        (dict[str, int], {"\x00": 1}),
        (bytes, b"\xff"),
        (Broken, Broken(1)),
        (Offer, Offer(3, [1])),  # type: ignore[arg-type]
    ],
)
@pytest.mark.promise("case.payload")
def test_what_would_come_back_different_is_refused(annotation, value):
    with pytest.raises(InvalidInput) as refused:
        encode(TypeAdapter(annotation), value, **LIMITS)
    assert refused.value.what == "the result of 'book'"


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [9, 100, 250, 100_000])
@pytest.mark.promise("case.payload", "error.PayloadTooLarge")
def test_what_is_too_deep_is_refused(levels: int):
    with pytest.raises(PayloadTooLarge) as refused:
        encode(TypeAdapter(Any), nested(levels), **{**LIMITS, "max_payload": 10**6})
    assert (refused.value.unit, refused.value.limit, refused.value.size) == ("levels", 8, 9)


def test_what_is_just_deep_enough_is_not():
    assert coded(Any, nested(8)) == nested(8)
    wide = [[0]] * 20
    assert coded(Any, wide) == wide


def test_a_value_that_holds_itself_is_too_deep():
    value: list[Any] = []
    value.append(value)
    with pytest.raises(PayloadTooLarge):
        encode(TypeAdapter(Any), value, **LIMITS)


@pytest.mark.promise("case.payload", "error.PayloadTooLarge")
def test_size_is_counted_in_bytes_of_utf8():
    adapter = TypeAdapter(str)
    assert encode(adapter, "é" * 499, **LIMITS) == "é" * 499
    with pytest.raises(PayloadTooLarge) as refused:
        encode(adapter, "é" * 500, **LIMITS)
    assert (refused.value.size, refused.value.limit, refused.value.unit) == (1_002, 1_000, "bytes")


def test_each_decoded_value_is_fresh():
    adapter = TypeAdapter(list[Flight])
    recorded = encode(adapter, [Flight(number=1)], **LIMITS)
    one, two = decode(adapter, recorded), decode(adapter, recorded)
    one[0].number = 2
    one.append(1)
    assert two == [Flight(number=1)]
    assert recorded == [{"number": 1}]


@pytest.mark.promise("case.payload", "error.InvalidInput")
def test_what_callers_pass_in_is_validated():
    adapter = TypeAdapter(Flight)
    assert encode_given(adapter, {"number": 1}, **LIMITS) == {"number": 1}
    assert encode_given(adapter, Flight(number=1), **LIMITS) == {"number": 1}
    with pytest.raises(InvalidInput, match="number: Input should be a valid integer") as refused:
        encode_given(adapter, {"number": "many"}, **LIMITS)
    assert refused.value.problem.startswith("number")
    with pytest.raises(InvalidInput, match="value: Input should be"):
        encode_given(TypeAdapter(int), "many", **LIMITS)


def test_aliases_are_read_and_names_are_written():
    adapter = TypeAdapter(Aliased)
    given = {"toRead": 1, "bothWays": 2, "written": 3}
    recorded = encode_given(adapter, given, **LIMITS)
    assert recorded == {"read": 1, "both": 2, "written": 3}
    assert decode(adapter, recorded) == decode(adapter, given) == Aliased(**given)


class Wishes(BaseModel):
    name: str
    colours: set[int]
    more: dict[int, frozenset[int]] = {}
    rows: list[tuple[set[int], str]] = []


def test_equal_values_are_equal_json_whatever_order_their_sets_are_in():
    one, other = set([0, 8, 16]), set([16, 8, 0])  # noqa: C405 - filled one by one, they differ in order
    assert list(one) != list(other)  # equal sets, in another order
    adapter = TypeAdapter(Wishes)
    first, second = (
        encode_given(
            adapter,
            Wishes(name="x", colours=each, more={1: frozenset(), 2: frozenset(each)}, rows=[(each, "a")]),
            **LIMITS,
        )
        for each in (one, other)
    )
    assert first == second
    assert first["colours"] == [0, 16, 8]  # in the order of their JSON
    assert encode_given(TypeAdapter(set[int]), one, **LIMITS) == [0, 16, 8]
    assert encode_given(TypeAdapter(list[int]), [3, 1, 2], **LIMITS) == [3, 1, 2]
    assert encode_given(TypeAdapter(Any), {"b": [2, [1]], "a": {}}, **LIMITS) == {"b": [2, [1]], "a": {}}


def test_many_problems_are_told_in_one_line():
    with pytest.raises(InvalidInput, match=re.escape("(and 2 more)")):
        encode_given(TypeAdapter(list[int]), ["a"] * 5, **LIMITS)


def test_a_given_value_that_is_too_deep_is_refused():
    with pytest.raises(PayloadTooLarge):
        encode_given(TypeAdapter(Any), nested(100_000), **LIMITS)
