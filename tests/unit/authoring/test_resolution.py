"""Annotations are found where the saga is defined, and looked for once more when the engine is made."""

from __future__ import annotations

import abc
import gc
import sys
import types
import weakref
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from saga_es.authoring.bindings import bindings_of
from saga_es.authoring.decorator import step
from saga_es.authoring.do import do
from saga_es.authoring.fluent import define
from saga_es.authoring.saga import Saga
from saga_es.errors import DefinitionError

if TYPE_CHECKING:
    from decimal import Decimal


class Trip(BaseModel):
    customer: str


@pytest.mark.promise("case.bad-definition")
def test_types_of_the_defining_function_are_found():
    class Local(BaseModel):
        x: int

    class Story(Saga[Local], name="story"):
        class Inner(BaseModel):
            y: int

        @step
        def one(self, given: Local) -> Local:
            return given

        @step(needs=(one,))
        def two(self, given: Local, one: Local) -> Inner:
            return self.Inner(y=one.x)

    def plain(given: Local) -> Local:
        return given

    for bindings in (
        bindings_of(Story()),
        bindings_of(define("p", Local).step(plain, name="one")),
        bindings_of(define("p", Local) | do(plain, name="one")),
    ):
        assert bindings.adapter("one").validate_python({"x": 1}) == Local(x=1)
    assert bindings_of(Story()).adapter("two").validate_python({"y": 1}) == Story.Inner(y=1)


def test_a_class_inside_a_class_sees_the_function_around_both():
    class Local(BaseModel):
        x: int

    class Outer:
        class Story(Saga[Trip], name="story"):
            @step
            def one(self, trip: Trip) -> Local:
                return Local(x=1)

    assert bindings_of(Outer.Story()).adapter("one").validate_python({"x": 1}) == Local(x=1)


def test_a_metaclass_of_pythons_own_is_no_hindrance():
    class Local(BaseModel):
        x: int

    class Story(Saga[Trip], abc.ABC, name="story"):
        @step
        def one(self, trip: Trip) -> Local:
            return Local(x=1)

    assert Story.definition.order == ("one",)


def test_a_type_that_comes_later_is_found_when_the_engine_is_made():
    class Story(Saga[Trip], name="story"):
        @step
        def one(self, trip: Trip) -> Later:
            return Later(x=1)

        @one.compensation
        def undo(self, trip: Trip, one: Later | None) -> None: ...

    def plain(trip: Trip) -> Later:
        return Later(x=1)

    saga = define("story", Trip).step(plain, name="one")

    class Later(BaseModel):
        x: int

    for each in (Story(), saga):
        assert bindings_of(each).adapter("one").validate_python({"x": 1}) == Later(x=1)


def test_a_type_whose_own_fields_come_later_is_waited_for():
    class Early(BaseModel):
        later: Later

    class Story(Saga[Trip], name="story"):
        @step
        def one(self, trip: Trip) -> Early:
            return Early(later=Later(x=1))

    class Later(BaseModel):
        x: int

    Early.model_rebuild()
    assert bindings_of(Story()).adapter("one").validate_python({"later": {"x": 1}}).later == Later(x=1)


@pytest.mark.promise("case.bad-definition")
def test_what_is_never_found_is_an_error_that_names_the_place():
    class Story(Saga[Trip], name="story"):
        @step
        def one(self, trip: Trip) -> Decimal:
            raise LookupError

    def plain(trip: Trip) -> Decimal:
        raise LookupError

    for name, each in (("one", Story()), ("plain", define("story", Trip).step(plain))):
        with pytest.raises(DefinitionError, match="'Decimal' is not defined") as refused:
            bindings_of(each)
        assert refused.value.where == f"story.{name}"


def test_an_inherited_step_finds_what_its_own_class_saw():
    def lender() -> type[Saga[Trip]]:
        class Kind(BaseModel):
            lent: int

        class Lending(Saga[Trip]):
            @step
            def one(self, trip: Trip) -> Kind:
                return Kind(lent=1)

        return Lending

    class Kind(BaseModel):
        other: int

    class Story(lender(), name="story"):  # type: ignore[misc]
        @step
        def two(self, trip: Trip) -> Kind:
            return Kind(other=1)

    bindings = bindings_of(Story())
    assert set(type(bindings.adapter("one").validate_python({"lent": 1})).model_fields) == {"lent"}
    assert set(type(bindings.adapter("two").validate_python({"other": 1})).model_fields) == {"other"}


def test_the_input_may_be_named_before_it_is_there():
    class Story(Saga["Later"], name="story"):
        @step
        def one(self, given: Later) -> int:
            return given.x

    class Later(BaseModel):
        x: int

    assert bindings_of(Story()).input.validate_python({"x": 1}) == Later(x=1)


def test_the_defining_functions_locals_are_let_go():
    class Heavy: ...

    def define_it() -> tuple[type[Saga[Trip]], weakref.ref[Heavy]]:
        heavy = Heavy()

        class Story(Saga[Trip], name="story"):
            @step
            def one(self, trip: Trip) -> int:
                return 1

        return Story, weakref.ref(heavy)

    story, heavy = define_it()
    gc.collect()
    assert heavy() is None
    assert story.definition.order == ("one",)


def test_a_module_without_the_annotations_import_is_read_too():
    source = """
from saga_es.authoring.decorator import step
from saga_es.authoring.saga import Saga

class Story(Saga[int], name="story"):
    @step
    def one(self, given: int) -> "Later":
        return Later()

from pydantic import BaseModel

class Later(BaseModel):
    x: int = 1
"""
    module = types.ModuleType("written_here")
    sys.modules["written_here"] = module
    try:
        exec(compile(source, "written_here", "exec", dont_inherit=True), vars(module))  # noqa: S102 - a module of our own
        assert bindings_of(module.Story()).adapter("one").validate_python({}).x == 1
    finally:
        del sys.modules["written_here"]
