"""Wrong on purpose: each line with a mark has to be an error, and no other line may be one."""

from __future__ import annotations

from datetime import timedelta

from world import Approval, Flight, NoRooms, Parcel, Receipt, Room, Trip

from saga_es import Attempt, Retry, Saga, signal, step


class Steps(Saga[Trip], name="steps"):
    @step
    async def plane(self, trip: Trip, *, attempt: Attempt) -> Flight:
        return Flight("")

    @step
    def hotel(self, trip: Trip) -> Room:
        return Room("")

    @step(title="a second one that takes no attempt")
    async def train(self, trip: Trip) -> Flight:
        return Flight("")

    approval = signal(Approval)

    # -- results -------------------------------------------------------------------------------------

    @step(needs=(plane, hotel))  # wrong: swapped results
    async def swapped(self, trip: Trip, room: Room, flight: Flight) -> int:
        return 1

    @step(needs=(plane, hotel))  # wrong: swapped results of a plain step
    def swapped_plain(self, trip: Trip, room: Room, flight: Flight) -> int:
        return 1

    @step(needs=(plane, hotel))  # wrong: swapped results beside an attempt
    async def swapped_attempt(self, trip: Trip, room: Room, flight: Flight, *, attempt: Attempt) -> int:
        return 1

    @step(needs=(plane, hotel))  # wrong: a missing result
    async def missing(self, trip: Trip, flight: Flight) -> int:
        return 1

    @step(needs=(plane,))  # wrong: a surplus result
    async def surplus(self, trip: Trip, flight: Flight, room: Room) -> int:
        return 1

    @step  # wrong: a result, and no needs
    async def surplus_bare(self, trip: Trip, flight: Flight) -> int:
        return 1

    @step(title="x")  # wrong: a result, and no needs among the options
    def surplus_options(self, trip: Trip, flight: Flight) -> int:
        return 1

    @step(needs=(approval,))  # wrong: another payload
    async def other_payload(self, trip: Trip, approval: Receipt) -> int:
        return 1

    @step(needs=(plane, approval))  # wrong: a result and a payload swapped
    async def swapped_payload(self, trip: Trip, approval: Approval, flight: Flight) -> int:
        return 1

    @step(needs=(plane,))  # wrong: another input than the step it needs
    async def other_input(self, parcel: Parcel, flight: Flight) -> int:
        return 1

    @step(needs=(plane, plane, plane, plane, plane, plane, plane))  # wrong: many results of another type
    def many(self, trip: Trip, *rooms: Room) -> int:
        return 1

    @step(needs=(plane, hotel, train, plane, hotel, train))  # wrong: the last of six
    def six(self, trip: Trip, a: Flight, b: Room, c: Flight, d: Flight, e: Room, f: Room) -> int:  # noqa: PLR0917 - six needs
        return 1

    @step(needs=(len,))  # wrong: a need that is no step
    def needs_a_function(self, trip: Trip, length: int) -> int:
        return length

    @step(needs=plane)  # wrong: a need that is not in a tuple
    def needs_alone(self, trip: Trip, flight: Flight) -> int:
        return 1

    # -- compensations -------------------------------------------------------------------------------

    @plane.compensation  # wrong: another result
    async def undo_other(self, trip: Trip, room: Room | None) -> None: ...

    @plane.compensation  # wrong: does not accept None
    async def undo_certain(self, trip: Trip, flight: Flight) -> None: ...

    @plane.compensation  # wrong: takes no result
    async def undo_blind(self, trip: Trip) -> None: ...

    @plane.compensation(title="x")  # wrong: another result, with arguments
    async def undo_other_title(self, trip: Trip, room: Room | None) -> None: ...

    @hotel.compensation(title="x")  # wrong: does not accept None, with arguments and an attempt
    def undo_certain_title(self, trip: Trip, room: Room, *, attempt: Attempt) -> None: ...

    @hotel.compensation  # wrong: another input
    def undo_other_input(self, parcel: Parcel, room: Room | None) -> None: ...

    @hotel.compensation  # wrong: returns something
    def undo_returning(self, trip: Trip, room: Room | None) -> Room:
        return Room("")

    @hotel.compensation(retry=3)  # wrong: a number for a policy
    def undo_retried(self, trip: Trip, room: Room | None) -> None: ...

    @hotel.compensation(pivot=True)  # wrong: an option of steps
    def undo_pivot(self, trip: Trip, room: Room | None) -> None: ...

    # -- probes --------------------------------------------------------------------------------------

    @plane.probe  # wrong: another result
    async def find_other(self, trip: Trip) -> Room:
        return Room("")

    @hotel.probe  # wrong: another result of a plain probe
    def find_other_plain(self, trip: Trip, *, attempt: Attempt) -> Flight:
        return Flight("")

    @plane.probe  # wrong: another input
    async def find_parcel(self, parcel: Parcel) -> Flight:
        return Flight("")

    @plane.probe  # wrong: takes the result
    async def find_with_result(self, trip: Trip, flight: Flight | None) -> Flight:
        return Flight("")

    # -- policies ------------------------------------------------------------------------------------

    @step(retry=3)  # wrong: a number for a policy
    def retried(self, trip: Trip) -> int:
        return 1

    @step(retry=Retry(attempts="3"))  # wrong: a text for a number
    def retried_text(self, trip: Trip) -> int:
        return 1

    @step(timeout=10)  # wrong: a number for a duration
    def timed(self, trip: Trip) -> int:
        return 1

    @step(rejects=NoRooms)  # wrong: no tuple
    def rejecting(self, trip: Trip) -> int:
        return 1

    @step(rejects=(KeyboardInterrupt,))  # wrong: not an Exception
    def rejecting_exit(self, trip: Trip) -> int:
        return 1

    @step(tittle="x")  # wrong: no such option
    def misspelt(self, trip: Trip) -> int:
        return 1

    @step(pivot="yes")  # wrong: a text for a yes or no
    def pivoting(self, trip: Trip) -> int:
        return 1

    late = signal(Approval, timeout=24)  # wrong: a number for a duration
    nothing = signal("approval")  # wrong: a text for a type


class Misspelt(Saga[Trip], name="misspelt", on_failure="stop"):  # wrong: no such policy
    pass


class Versioned(Saga[Trip], name="versioned", version="1"):  # wrong: a text for a number
    pass


class Overriding(Steps, version=2):
    @step
    def hotel(self, trip: Trip) -> Flight:  # wrong: overrides with another result
        return Flight("")


async def call_as_in_a_unit_test(saga: Steps) -> None:
    await saga.plane("Maria")  # wrong: a text for a trip
    saga.hotel(Trip("Maria"), Flight(""))  # wrong: a surplus argument
    room: Room = await saga.plane(Trip("Maria"))  # wrong: another result
    saga.hotel(Trip("Maria"), attempt=1)  # wrong: no attempt is taken
    await saga.plane(Trip("Maria"), attempt=timedelta(1))  # wrong: no Attempt
    print(room)
