"""Which annotations fit: False only where it certainly can't."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ForwardRef, Literal, NewType, Optional, Protocol, TypedDict, TypeVar, Union

import pytest

from saga_es.authoring.annotations import accepts_none, can_fit, shown

T = TypeVar("T")
CustomerId = NewType("CustomerId", str)


class Vehicle: ...


class Plane(Vehicle): ...


class Train(Vehicle): ...


class Moves(Protocol):
    def move(self) -> None: ...


class Seat(TypedDict):
    row: int


FITTING = [
    (Plane, Plane),
    (Plane, Vehicle),
    (Vehicle, Plane),
    (Plane, Any),
    (Any, Plane),
    (Plane, object),
    (object, Plane),
    (Plane, T),
    (T, Plane),
    (Plane, "Plane"),
    (Plane, ForwardRef("Plane")),
    (Plane, Optional[Plane]),  # noqa: UP045 - both spellings
    (Plane | None, Plane),
    (Plane | Train, Train | str),
    (Plane, Union[Plane, str]),  # noqa: UP007 - both spellings
    (None, None),
    (None, Plane | None),
    (None, type(None)),
    (int, float),
    (bool, int),
    (bool, float),
    (Literal["a"], str),
    (str, Literal["a", "b"]),
    (CustomerId, str),
    (str, CustomerId),
    (Annotated[Plane, "new"], Plane),
    (list[Plane], list[Vehicle]),
    (list[Plane], Sequence[Plane]),
    (list[Plane], list),
    (dict[str, int], Mapping[str, int]),
    (tuple[int, ...], tuple[int, int]),
    (Plane, Moves),
    (dict, Seat),
    (list[Any], list[int]),
]

UNFIT = [
    (Plane, Train),
    (Plane, str),
    (Plane, None),
    (None, Plane),
    (str, int),
    (float, int | str),
    (Plane | None, Train),
    (Literal["a"], int),
    (int, Literal["a"]),
    (CustomerId, int),
    (Annotated[Plane, "new"], Train),
    (list[Plane], list[Train]),
    (dict[str, int], dict[str, str]),
    (list[int], dict[str, int]),
    (tuple[int, str], tuple[str, int]),
]


@pytest.mark.parametrize(("given", "wanted"), FITTING)
def test_these_may_fit(given, wanted):
    assert can_fit(given, wanted)


@pytest.mark.parametrize(("given", "wanted"), UNFIT)
def test_these_can_not(given, wanted):
    assert not can_fit(given, wanted)


@pytest.mark.parametrize(
    "annotation", [None, type(None), Plane | None, Any, object, T, Literal["a", None], Annotated[Plane | None, 1]]  # noqa: PYI061 - this spelling too
)  # fmt: skip
def test_these_accept_none(annotation):
    assert accepts_none(annotation)


@pytest.mark.parametrize("annotation", [Plane, str, Plane | str, Literal["a"], CustomerId, list[None]])
def test_these_do_not(annotation):
    assert not accepts_none(annotation)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Plane, "Plane"),
        (None, "None"),
        (Plane | None, "Plane | None"),
        (dict[str, list[Plane]], "dict[str, list[Plane]]"),
        (tuple[int, ...], "tuple[int, …]"),
        (Any, "Any"),
        (Literal["a"], "Literal['a']"),
        (CustomerId, "CustomerId"),
    ],
)
def test_they_are_shown_as_people_write_them(annotation, text):
    assert shown(annotation).rpartition(".")[2] == text
