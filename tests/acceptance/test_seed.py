"""The forerunner's list: what it does, and where it falls short, each a test (SEED.md)."""

import asyncio
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from pydantic import BaseModel

from saga_es import Attempt, Rejected, Retry, Saga, SagaEngine, Settings, define, do, step
from saga_es.errors import DefinitionError, SagaIdConflict

MARIA = """❗ begin saga

✔ book plane ticket
✔ book hotel room
✔ buy tourist tickets

❗ all steps succeeded

✔ end saga (success)"""

KEVIN = """❗ begin saga

✔ book plane ticket
❌ book hotel room (no available hotel rooms)
✔ buy tourist tickets

❗ step failed: reverting

✔ cancel plane ticket booking
✔ cancel tourist ticket reservations

❌ end saga (no available hotel rooms)"""


class Trip(BaseModel):
    customer: str


class Package(Saga[Trip], name="package"):
    def __init__(self, rooms: int = 1) -> None:
        self.rooms = rooms
        self.calls: list[str] = []

    @step(title="book plane ticket")
    async def book_plane(self, trip: Trip) -> str:
        self.calls.append("plane")
        return "plane"

    @book_plane.compensation(title="cancel plane ticket booking")
    async def cancel_plane(self, trip: Trip, plane: str | None) -> None:
        self.calls.append(f"cancel {plane}")

    @step(title="book hotel room")
    def book_hotel(self, trip: Trip) -> str:
        if not self.rooms:
            raise Rejected("no available hotel rooms")
        self.calls.append("hotel")
        return "hotel"

    @book_hotel.compensation(title="cancel hotel room reservation")
    def cancel_hotel(self, trip: Trip, hotel: str | None) -> None:
        self.calls.append(f"cancel {hotel}")

    @step(title="buy tourist tickets")
    async def buy_tickets(self, trip: Trip) -> str:
        self.calls.append("tickets")
        return "tickets"

    @buy_tickets.compensation(title="cancel tourist ticket reservations")
    def cancel_tickets(self, trip: Trip, tickets: str | None) -> None:
        self.calls.append(f"cancel {tickets}")


def run(saga, trip=None, *, kind=None, saga_id="s", settings=None, **options):
    """Run one saga on the memory store; return its outcome and its history."""

    async def main():
        async with SagaEngine("memory://", sagas=[saga], settings=settings, **options) as engine:
            asked = kind if kind is not None else (type(saga) if isinstance(saga, Saga) else saga)
            outcome = await engine.run(
                asked, trip or Trip(customer="Maria"), saga_id=saga_id, timeout=timedelta(seconds=20)
            )
            return outcome, await engine.history(saga_id)

    return asyncio.run(main())


@pytest.mark.promise("seed.trace.maria")
def test_marias_trace():
    assert run(Package())[1].trace() == MARIA


@pytest.mark.promise("seed.trace.kevin")
def test_kevins_trace():
    assert run(Package(rooms=0))[1].trace() == KEVIN


@pytest.mark.promise("seed.titles")
def test_titles_default_to_names_with_spaces():
    def book_plane(trip: Trip) -> int:
        return 1

    def cancel_plane(trip: Trip, plane: int | None) -> None: ...

    plan = define("p", Trip).step(book_plane, undo=cancel_plane).definition
    booked = plan.step("book_plane")
    assert (booked.title, booked.compensation.title) == ("book plane", "cancel plane")


@pytest.mark.promise("seed.mixed-functions")
def test_plain_functions_run_elsewhere_and_the_loop_stays_free():
    met = threading.Barrier(2, timeout=10)

    async def main():
        def plain(trip: Trip) -> str:
            met.wait()
            return threading.current_thread().name

        async def coroutine(trip: Trip) -> str:
            return threading.current_thread().name

        saga = define("mixed", Trip).step(plain).step(coroutine)
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            saga_id = await engine.start(saga, Trip(customer="x"))
            # The loop runs this while `plain` waits for it in its thread.
            await asyncio.get_running_loop().run_in_executor(None, met.wait)
            return (await engine.outcome(saga_id)).results

    results = asyncio.run(main())
    assert results["coroutine"] == threading.main_thread().name
    assert results["plain"] != threading.main_thread().name


@pytest.mark.promise("seed.parallel-start")
def test_all_steps_start_together_where_nothing_orders_them():
    async def main():
        met = asyncio.Barrier(3)
        names = ["a", "b", "c"]

        def meeting(name):
            async def meet(trip: Trip) -> str:
                await met.wait()  # returns only once all three are here
                return name

            return meet

        saga = define("together", Trip)
        for name in names:
            saga = saga.step(meeting(name), name=name)
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            return await engine.run(saga, Trip(customer="x"), timeout=timedelta(seconds=10))

    assert asyncio.run(main()).results == {"a": "a", "b": "b", "c": "c"}


@pytest.mark.promise("seed.rejected-not-compensated", "error.Rejected")
def test_the_rejected_step_is_not_compensated_and_every_other_is():
    package = Package(rooms=0)
    outcome, _ = run(package)
    assert sorted(package.calls) == ["cancel plane", "cancel tickets", "plane", "tickets"]
    assert (outcome.status, outcome.ending, outcome.residue) == ("failed", "compensated", ())


@pytest.mark.promise("seed.rejected-not-compensated")
def test_compensations_run_in_parallel():
    async def main():
        met = asyncio.Barrier(2)

        async def one(trip: Trip) -> int:
            return 1

        async def two(trip: Trip) -> int:
            return 2

        async def undo(trip: Trip, result: int | None) -> None:
            await met.wait()

        async def fails(trip: Trip) -> int:
            raise Rejected("no")

        saga = define("back", Trip).step(one, undo=undo).step(two, undo=undo).step(fails)
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            return await engine.run(saga, Trip(customer="x"), timeout=timedelta(seconds=10))

    assert asyncio.run(main()).ending == "compensated"


@pytest.mark.parametrize("what", ["step", "undo"])
@pytest.mark.promise("seed.callables")
def test_what_is_not_callable_is_refused_when_the_saga_is_defined(what):
    def fine(trip: Trip) -> int:
        return 1

    wrong: dict[str, tuple[object, object]] = {
        "step": ("not a function", None),
        "undo": (fine, "not a function"),
    }
    action, undo = wrong[what]
    with pytest.raises(DefinitionError, match="callable"):
        define("p", Trip).step(action, undo=undo)  # type: ignore[call-overload]


@pytest.mark.promise("seed.ready-made-steps", "seed.chaining-and-piping")
def test_ready_made_steps_and_steps_one_by_one_make_the_same_saga():
    def one(trip: Trip) -> int:
        return 1

    def two(trip: Trip) -> int:
        return 2

    ready = [do(one), do(two)]
    chained = define("p", Trip).step(one).step(two)
    piped = define("p", Trip) | do(one) | do(two)
    reduced = functools.reduce(lambda saga, part: saga | part, ready, define("p", Trip))
    assert chained.definition == piped.definition == reduced.definition
    assert chained.definition.digest == piped.definition.digest == reduced.definition.digest


@pytest.mark.promise("seed.empty-saga")
def test_an_empty_saga_succeeds():
    outcome, history = run(define("empty", Trip))
    assert outcome.status == "succeeded"
    assert [recorded.type for recorded in history.events] == ["SagaStarted", "SagaSucceeded"]


@pytest.mark.promise("seed.how-it-stands")
def test_asking_a_saga_how_it_stands():
    async def main():
        gate = asyncio.Event()

        async def wait(trip: Trip) -> int:
            await gate.wait()
            return 1

        saga = define("asked", Trip).step(wait)
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            await engine.start(saga, Trip(customer="x"), saga_id="a")
            running = (await engine.history("a")).state.status
            gate.set()
            await engine.outcome("a")
            history = await engine.history("a")
            return history.at(version=1).status, running, history.state.status, history.state.ending

    assert asyncio.run(main()) == ("pending", "running", "succeeded", "succeeded")
    assert run(Package(rooms=0))[1].state.status == "failed"


# -- where it falls short ----------------------------------------------------------------------------


@pytest.mark.promise("seed.step-exception")
def test_an_exception_in_a_step_is_a_failure_like_any_other():
    undone = []

    def good(trip: Trip) -> int:
        return 1

    def undo_good(trip: Trip, result: int | None) -> None:
        undone.append(result)

    def bad(trip: Trip) -> int:
        raise ValueError("broken")

    def undo_bad(trip: Trip, result: int | None) -> None:
        undone.append(result)

    saga = define("p", Trip).step(good, undo=undo_good).step(bad, undo=undo_bad)
    outcome, _ = run(saga)
    assert (outcome.status, outcome.ending) == ("failed", "compensated")
    assert (outcome.cause.kind, outcome.cause.type, outcome.cause.step) == ("error", "ValueError", "bad")
    assert sorted(undone, key=str) == [1, None]  # the call may have had its effect: undone with None


@pytest.mark.promise("seed.compensation-exception")
def test_an_exception_in_a_compensation_is_retried_then_parked_visibly():
    tries = []

    async def good(trip: Trip) -> int:
        return 1

    async def undo(trip: Trip, result: int | None, *, attempt: Attempt) -> None:
        tries.append(attempt.number)
        raise OSError("the line is dead")

    async def bad(trip: Trip) -> int:
        raise Rejected("no")

    saga = define("p", Trip).step(good, undo=undo).step(bad)
    settings = Settings(compensation_retry=Retry(attempts=3, delay=timedelta(0)))

    async def main():
        async with SagaEngine("memory://", sagas=[saga], settings=settings) as engine:
            await engine.start(saga, Trip(customer="x"), saga_id="p")
            with pytest.raises(TimeoutError, match="parked: good: the line is dead"):
                await engine.outcome("p", timeout=timedelta(seconds=1))
            (shown,) = (await engine.find(parked=True)).items
            return shown, (await engine.history("p")).state

    shown, state = asyncio.run(main())
    assert tries == [1, 2, 3]
    assert (shown.saga_id, shown.status, shown.ending) == ("p", "compensating", None)
    assert state.steps["good"].status == "stuck"


@pytest.mark.promise("seed.keyword-arguments")
def test_keyword_arguments_of_plain_functions_work():
    def greet(trip: Trip, *, greeting: str, attempt: Attempt) -> str:
        return f"{greeting}, {trip.customer} ({attempt.number})"

    saga = define("p", Trip).step(functools.partial(greet, greeting="Olá"), name="greet")
    assert run(saga)[0].results == {"greet": "Olá, Maria (1)"}


@pytest.mark.promise("seed.executor")
def test_the_executor_is_used():
    def where(trip: Trip) -> str:
        return threading.current_thread().name

    with ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        outcome, _ = run(define("p", Trip).step(where), executor=executor)
    assert outcome.results["where"].startswith("mine")


@pytest.mark.promise("seed.runs-once")
def test_a_saga_id_runs_once():
    package = Package()

    async def main():
        async with SagaEngine("memory://", sagas=[package]) as engine:
            for _ in range(3):
                await engine.run(Package, Trip(customer="Maria"), saga_id="once")
            with pytest.raises(SagaIdConflict) as conflict:
                await engine.start(Package, Trip(customer="Kevin"), saga_id="once")
            return conflict.value

    conflict = asyncio.run(main())
    assert sorted(package.calls) == ["hotel", "plane", "tickets"]
    assert (conflict.saga_id, conflict.definition, conflict.recorded) == ("once", "package", "package")


@pytest.mark.parametrize("falsy", [0, [], "", False, None, {}])
@pytest.mark.promise("seed.falsy-results")
def test_falsy_results_are_results(falsy):
    async def returns(trip: Trip) -> int | list[int] | str | bool | dict[str, int] | None:
        return falsy

    outcome, _ = run(define("p", Trip).step(returns))
    assert (outcome.status, outcome.results) == ("succeeded", {"returns": falsy})


@pytest.mark.promise("seed.recorded")
def test_it_is_recorded_and_survives_the_process(tmp_path):
    url = f"sqlite:///{tmp_path}/sagas.db"

    async def run_it():
        async with SagaEngine(url, sagas=[Package()]) as engine:
            await engine.run(Package, Trip(customer="Maria"), saga_id="kept")

    async def read_it():
        async with SagaEngine(url, sagas=[]) as engine:
            return (await engine.history("kept")).trace()

    asyncio.run(run_it())
    assert asyncio.run(read_it()) == MARIA
