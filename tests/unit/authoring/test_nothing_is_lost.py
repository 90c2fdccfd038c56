"""No step, compensation, probe or key gets lost without a word."""
# ruff: noqa: F811 - classes that say a thing twice

from __future__ import annotations

import pytest

from saga_es.authoring.attempt import Attempt
from saga_es.authoring.bindings import bindings_of
from saga_es.authoring.decorator import step
from saga_es.authoring.fluent import define
from saga_es.authoring.saga import Saga
from saga_es.errors import DefinitionError

pytestmark = pytest.mark.promise("case.bad-definition", "error.DefinitionError")


def test_two_compensations_of_one_name():
    with pytest.raises(DefinitionError) as refused:

        class Bad(Saga[int], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def book(self, n: int) -> int:
                return n

            @book.compensation
            def _(self, n: int, booked: int | None) -> None: ...

            @step
            def pay(self, n: int) -> int:
                return n

            @pay.compensation
            def _(self, n: int, paid: int | None) -> None: ...

    assert refused.value.where == "Bad._"


def test_a_compensation_named_like_its_step():
    with pytest.raises(DefinitionError) as refused:

        class Bad(Saga[int], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def book(self, n: int) -> int:
                return n

            @book.compensation(title="cancel it")
            def book(self, n: int, booked: int | None) -> None: ...

    assert refused.value.where == "Bad.book"


def test_two_steps_of_one_name():
    with pytest.raises(DefinitionError) as refused:

        class Bad(Saga[int], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def pay(self, n: int) -> int:
                return n

            @step(title="pay again")
            def pay(self, n: int) -> int:
                return n

    assert refused.value.where == "Bad.pay"


def test_a_probe_and_a_compensation_of_one_name():
    with pytest.raises(DefinitionError) as refused:

        class Bad(Saga[int], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def book(self, n: int) -> int:
                return n

            @book.probe
            def other(self, n: int) -> int:
                return n

            @book.compensation
            def other(self, n: int, booked: int | None) -> None: ...

    assert refused.value.where == "Bad.other"


def test_a_subclass_may_put_its_own_in_their_place():
    class Plain(Saga[int], name="plain"):
        @step
        def book(self, n: int) -> int:
            return n

        @book.compensation
        def cancel(self, n: int, booked: int | None) -> None: ...

    class Other(Plain, name="other"):
        @step
        def book(self, n: int) -> int:
            return n + 1

        @book.compensation
        def cancel(self, n: int, booked: int | None) -> None: ...

    plan = Other.definition.step("book")
    assert plan is not None
    assert plan.compensation is not None
    assert Other().book(1) == 2


def test_a_compensation_of_another_sagas_step():
    class Plain(Saga[int], name="plain"):
        @step
        def book(self, n: int) -> int:
            return n

    with pytest.raises(DefinitionError) as refused:

        class Bad(Saga[int], name="bad"):  # pyright: ignore[reportUnusedClass]
            @Plain.book.compensation
            def cancel(self, n: int, booked: int | None) -> None: ...

    assert refused.value.where == "Bad.cancel"


@pytest.mark.parametrize("kind", [Attempt, Attempt | None])
def test_an_attempt_by_position_is_refused_optional_or_not(kind: object):
    def pay(n: int, attempt: Attempt | None = None) -> int:
        return n

    pay.__annotations__["attempt"] = kind
    with pytest.raises(DefinitionError, match="by position") as refused:
        bindings_of(define("bad", int).step(pay))  # type: ignore[call-overload]
    assert refused.value.where == "bad.pay"


def test_a_result_may_be_called_attempt_and_is_passed_on():
    class Counting(Saga[int], name="counting"):
        @step
        def tries(self, n: int) -> int:
            return n

        @step(needs=(tries,))
        def told(self, n: int, attempt: int) -> str:
            return f"{n} {attempt}"

    assert Counting().told(1, 3) == "1 3"


def test_what_is_piped_has_to_be_made_by_do():
    def pay(n: int) -> int:
        return n

    with pytest.raises(DefinitionError) as refused:
        define("bad", int) | pay  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    assert refused.value.where == "bad"
