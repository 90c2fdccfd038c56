"""What is known to come back the same does so, and whatever might not is tried."""

import enum
import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    TypeAdapter,
    ValidationError,
    computed_field,
    create_model,
    field_serializer,
    model_serializer,
    model_validator,
)
from pydantic_core import to_json

from saga_es.authoring.codec import decode, encode
from saga_es.authoring.fidelity import is_same
from saga_es.authoring.plain import EXACT, SMALL, Room, plain_of
from saga_es.errors import InvalidInput, PayloadTooLarge

LIMITS: dict[str, Any] = {"what": "the result of 'book'", "max_payload": 1_000_000, "max_depth": 8}


class Line(BaseModel):
    article: str
    count: int = 1
    price: float | None = None


class Place(BaseModel):
    street: str
    floor: int | None


class Order(BaseModel):
    number: str
    is_paid: bool
    lines: list[Line] = []
    place: Place | None = None

    model_config = ConfigDict(frozen=True, extra="forbid")


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Rarer(Line):
    grade: int = 0


class Stripped(BaseModel):
    text: str

    model_config = ConfigDict(str_strip_whitespace=True)


class Strict(BaseModel):
    text: str

    model_config = ConfigDict(strict=True)


class Open(BaseModel):
    text: str

    model_config = ConfigDict(extra="allow")


class Private(BaseModel):
    text: str
    _lock: object = PrivateAttr(default=None)


class Own(BaseModel):
    text: str

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class After(BaseModel):
    text: str

    def model_post_init(self, context: Any, /) -> None:
        self.text = self.text.strip()


class Validated(BaseModel):
    text: str

    @model_validator(mode="after")
    def look(self) -> "Validated":
        return self


class Written(BaseModel):
    text: str

    @field_serializer("text")
    def write(self, text: str) -> str:
        return text.upper()


class WrittenWhole(BaseModel):
    text: str

    @model_serializer
    def write(self) -> dict[str, str]:
        return {"text": self.text.upper()}


class Reckoned(BaseModel):
    text: str

    @computed_field
    def length(self) -> int:
        return len(self.text)


class Aliased(BaseModel):
    text: str = Field(alias="Text")


class Hidden(BaseModel):
    text: str = Field(exclude=True, default="")


class Tree(BaseModel):
    text: str
    branches: list["Tree"] = []


@pytest.mark.parametrize(
    "annotation",
    [
        Stripped, Strict, Open, Private, Own, After, Validated, Written, WrittenWhole, Reckoned, Aliased, Hidden, Tree,
        RootModel[str], Colour, bytes, object, dict[str, int], tuple[int, ...], set[int], Literal["a"], int | str,
        Annotated[str, Field(min_length=1)], Annotated[str, AfterValidator(str.strip)], list[Stripped],
        Stripped | None,
    ],
    ids=str,
)  # fmt: skip
def test_what_has_something_of_its_own_is_not_plain(annotation):
    assert plain_of(TypeAdapter(annotation)) is None


def test_what_is_known_of_an_adapter_keeps_it_not_alive():
    adapter = TypeAdapter(Line)
    gone = weakref.ref(adapter)
    assert plain_of(adapter) is plain_of(adapter)

    del adapter
    gc.collect()

    assert gone() is None
    for annotation in (str, Stripped, list[Line], Tree):  # perhaps where the other was
        assert (plain_of(TypeAdapter(annotation)) is None) == (annotation in (Stripped, Tree))


def known_by_its_class() -> TypeAdapter[Any]:
    class Local(BaseModel):
        rooms: int

        @staticmethod
        def reader() -> TypeAdapter[Any]:
            return adapter

    adapter = TypeAdapter(Local)
    plain = plain_of(adapter)
    assert plain is not None
    assert plain.holds(Local(rooms=1))
    return adapter


def test_a_class_that_knows_what_reads_it_is_not_kept_alive():
    gone = weakref.ref(known_by_its_class())

    gc.collect()

    assert gone() is None


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, Text("a")),
        (int, Colour.RED),
        (int, ...),
        (list[int] | None, [...]),
        (int, True),
        (int, 1 << 63),
        (float, 1),
        (float, float("nan")),
        (bool, 1),
        (Line, Rarer(article="a")),
        (Line, Line.model_construct(article=1)),
        (Line, Line.model_construct(article=Text("a"), count=1, price=None)),
        (Line, Line.model_construct(price=1.0)),
        (Line, {"article": "a", "count": 1, "price": None}),
        (list[Line], (Line(article="a"),)),
        (Order, Order.model_construct(number="1", is_paid=True, lines=[Rarer(article="a")], place=None)),
        (str | None, 1),
    ],
    ids=repr,
)
def test_a_value_of_another_type_somewhere_is_not_plain(annotation, value):
    plain = plain_of(TypeAdapter(annotation))
    assert plain is not None
    assert not plain.holds(value)
    room = Room(SMALL)
    plain.copied(value, room)
    assert room.left < 0


Values = st.SearchStrategy[Any]


def plain_values(texts: Values, integers: Values, floats: Values) -> list[tuple[Any, Values]]:
    lines = st.builds(Line, article=texts, count=integers, price=st.none() | floats)
    places = st.builds(Place, street=texts, floor=st.none() | integers)
    orders = st.builds(
        Order,
        number=texts,
        is_paid=st.booleans(),
        lines=st.lists(lines, max_size=3),
        place=st.none() | places,
    )
    return [
        (str, texts),
        (int, integers),
        (bool, st.booleans()),
        (float, floats),
        (None, st.none()),
        (list[int], st.lists(integers)),
        (Line, lines),
        (Order, orders),
        (list[Order], st.lists(orders, max_size=3)),
        (Order | None, st.none() | orders),
    ]


integers = st.integers() | st.integers(min_value=-(1 << 65), max_value=1 << 65)
PLAIN = plain_values(st.text(), integers, st.floats())
COPIED = plain_values(
    st.text('aÀé漢🐈"\\/ ', max_size=9),
    st.integers(min_value=1 - EXACT, max_value=EXACT - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)


@pytest.mark.parametrize(("annotation", "values"), PLAIN, ids=[str(annotation) for annotation, _ in PLAIN])
@given(data=st.data())
def test_what_is_plain_comes_back_the_same(annotation, values, data):
    adapter, value = TypeAdapter(annotation), data.draw(values)
    plain = plain_of(adapter)
    assert plain is not None
    if not plain.holds(value):
        return
    try:
        recorded = encode(adapter, value, **LIMITS)
    except InvalidInput:  # NUL
        return
    back = decode(adapter, recorded)
    assert is_same(back, value)
    assert back == adapter.validate_json(adapter.dump_json(value, round_trip=True))


@pytest.mark.parametrize(("annotation", "values"), COPIED, ids=[str(annotation) for annotation, _ in COPIED])
@given(data=st.data())
def test_a_copy_is_what_its_json_says_and_takes_no_less_room(annotation, values, data):
    adapter, value = TypeAdapter(annotation), data.draw(values)
    plain = plain_of(adapter)
    assert plain is not None
    room = Room(SMALL)
    copy = plain.copied(value, room)
    assert plain.holds(value)
    assert room.left >= 0
    text = adapter.dump_json(value, round_trip=True)
    assert is_same(copy, pydantic_core.from_json(text))
    assert to_json(copy) == text
    assert len(text) <= SMALL - room.left


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "\ud800", "a" * 129])
def test_a_text_that_may_have_no_json_is_left_to_its_json(text):
    plain = plain_of(TypeAdapter(list[str]))
    assert plain is not None
    room = Room(SMALL)
    plain.copied([text, "and another"], room)
    assert room.left < 0


def test_a_copy_has_its_fields_in_the_order_that_is_written():
    line = Line(article="a", count=2)
    del line.article
    line.article = "b"
    assert to_json(encode(TypeAdapter(Line), line, **LIMITS)) == line.model_dump_json().encode()


@pytest.mark.parametrize("name", ["a\0b", "\x01" * 50, "a\nb"])
def test_a_field_whose_name_may_have_no_json_is_not_plain(name):
    assert plain_of(TypeAdapter(create_model("M", **{name: (int, 1)}))) is None


def test_a_copy_shares_nothing_that_can_change():
    lines = [Line(article="a")]
    recorded = encode(TypeAdapter(list[Line]), lines, **LIMITS)
    lines[0].count = 2
    lines.append(Line(article="b"))
    assert recorded == [{"article": "a", "count": 1, "price": None}]


@pytest.mark.parametrize("max_payload", range(1, 60))
def test_a_plain_value_is_refused_by_its_bytes_and_not_by_their_estimate(max_payload):
    value = Line(article="é" * 3, count=7)
    size = len(TypeAdapter(Line).dump_json(value))
    assert 1 < size < 60
    limits = {**LIMITS, "max_payload": max_payload}
    if size <= max_payload:
        assert encode(TypeAdapter(Line), value, **limits) == {"article": "ééé", "count": 7, "price": None}
        return
    with pytest.raises(PayloadTooLarge) as refused:
        encode(TypeAdapter(Line), value, **limits)
    assert (refused.value.size, refused.value.limit) == (size, max_payload)


@pytest.mark.parametrize("max_depth", [1, 2, 3])
def test_plain_values_have_levels_too(max_depth):
    value = Order(number="1", is_paid=True, lines=[Line(article="a")])
    limits = {**LIMITS, "max_depth": max_depth}
    if max_depth == 3:
        encode(TypeAdapter(Order), value, **limits)
        return
    with pytest.raises(PayloadTooLarge) as refused:
        encode(TypeAdapter(Order), value, **limits)
    assert refused.value.unit == "levels"


@given(recorded=st.recursive(
    st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["article", "count", "price", "number", "is_paid", "lines"]), inner),
    max_leaves=6,
))  # fmt: skip
def test_what_an_older_program_recorded_is_read_as_from_json(recorded):
    text = TypeAdapter[Any](object).dump_json(recorded)
    for annotation, _ in PLAIN:
        adapter = TypeAdapter(annotation)
        assert read(partial(decode, adapter, recorded)) == read(partial(adapter.validate_json, text))


def read(make: Callable[[], Any]) -> Any:
    """Return what comes, or that it was refused."""
    try:
        return make()
    except ValidationError:
        return ValidationError
