from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from eventsourcing.persistence import Notification, StoredEvent

from saga_es import Attempt, SagaEngine, Settings, define
from saga_es.errors import CopyConflict, StoreInUse
from saga_es.store.address import environment
from saga_es.store.application import SagaApplication
from saga_es.store.copying import Copied, both_held, copy_store
from tests.support.pairs import LATER, Pair, fill, log_of, rows_of, run
from tests.support.stores import NOON, PLAN, history, put


class CutOff(Exception):
    """Cuts a copy off, as Ctrl-C would."""


def cut_after(pages: int) -> Callable[[int, int, int], None]:
    told: list[int] = []

    def tell(events: int, _: int, __: int) -> None:
        told.append(events)
        if len(told) == pages:
            raise CutOff

    return tell


@pytest.mark.promise("cli.copy")
@pytest.mark.parametrize("page", [1, 2, 5, 256])
def test_all_is_copied_as_it_is_in_the_logs_order(pair, page):
    source, target = pair.source, pair.target
    fill(source)
    assert copy_store(source, target, page=page) == Copied(3, 2, 18, 0)
    assert log_of(target) == log_of(source)
    assert len(log_of(target)) == 19
    assert rows_of(target) == rows_of(source)
    assert target.find(limit=10).items == source.find(limit=10).items
    assert target.open_sagas() == ["open", "pärked"]
    parked = target.summary("pärked")
    assert parked is not None
    assert (parked.parked, parked.changed_at) == ("no code for \ufffd it", LATER + timedelta(seconds=1))
    assert pair.target.definition(PLAN.digest) == PLAN
    assert target.read("ended") == history(6)


def test_a_second_copy_changes_nothing(pair):
    source, target = pair.source, pair.target
    fill(source)
    copy_store(source, target, page=2)
    before = target.log_page(0, limit=100), rows_of(target)
    assert copy_store(source, target, page=3) == Copied(3, 2, 18, 18)
    assert (target.log_page(0, limit=100), rows_of(target)) == before


@pytest.mark.promise("cli.copy")
def test_what_was_interrupted_is_made_whole_by_another_copy(pair):
    source, target = pair.source, pair.target
    fill(source)
    with pytest.raises(CutOff):
        copy_store(source, target, page=2, tell=cut_after(4))
    assert log_of(target) == log_of(source)[:8]
    assert target.open_sagas() == []  # nothing for an engine to go on with
    assert target.find().items == ()
    put(source, "open", history(7)[6:], changed_at=LATER)  # the source's engine went on meanwhile
    assert copy_store(source, target, page=2) == Copied(3, 2, 19, 7)
    assert sorted(log_of(target), key=str) == sorted(log_of(source), key=str)
    assert rows_of(target) == rows_of(source)


class MeetsAClient(SagaApplication):
    """A source to which a client writes when the log has been read to its end, and the index is."""

    has_written = False

    def find(self, **wanted):
        if not self.has_written:
            self.has_written = True
            put(self, "new", history(3))
            put(self, "ended", history(7)[6:], is_open=True, changed_at=LATER)
        return super().find(**wanted)


def meeting_a_client(pair: Pair) -> SagaApplication:
    source = pair.keep(MeetsAClient(environment(pair.source_url), url=pair.source_url))
    source.migrate()
    fill(source)
    return source


def test_what_clients_append_meanwhile_is_copied_too(pair):
    source, target = meeting_a_client(pair), pair.target
    assert copy_store(source, target, page=2) == Copied(4, 4, 22, 0)
    assert len(log_of(source)) == 23
    assert log_of(target) == log_of(source)
    assert rows_of(target) == rows_of(source)
    assert target.open_sagas() == ["ended", "new", "open", "pärked"]


def test_an_index_row_is_never_ahead_of_its_events(pair):
    source, target = meeting_a_client(pair), pair.target
    with pytest.raises(CutOff):
        copy_store(source, target, page=2, tell=cut_after(11))  # the first page of what the client wrote
    assert target.versions(["ended", "new", "open"]) == {"ended": 6, "new": 2, "open": 6}
    assert set(rows_of(target)) == {"open", "pärked"}
    copy_store(source, target)
    assert rows_of(target) == rows_of(source)


def test_what_was_parked_in_the_source_since_is_copied_again(pair):
    source, target = pair.source, pair.target
    fill(source)
    copy_store(source, target)
    source.set_parked("open", "no code here", at=LATER + timedelta(days=1))
    copy_store(source, target)
    found = target.summary("open")
    assert found is not None
    assert (found.parked, found.changed_at) == ("no code here", LATER + timedelta(days=1))


def test_a_saga_with_other_events_is_named_and_left(pair):
    source, target = pair.source, pair.target
    fill(source)
    put(target, "ended", history(2, at=NOON + timedelta(days=1)))
    before = target.stored("ended", after=0, upto=100), rows_of(target)
    with pytest.raises(CopyConflict) as caught:
        copy_store(source, target, page=2)
    error = caught.value
    assert (error.saga_id, error.version, error.store) == ("ended", 1, target.url)
    assert "event 1 there is another one" in str(error)
    assert (target.stored("ended", after=0, upto=100), rows_of(target)) == before


@pytest.mark.promise("error.CopyConflict")
def test_a_saga_that_went_on_in_the_target_is_named_and_left(pair):
    source, target = pair.source, pair.target
    fill(source)
    copy_store(source, target)
    put(target, "pärked", history(8)[6:], changed_at=LATER)
    with pytest.raises(CopyConflict) as caught:
        copy_store(source, target)
    error = caught.value
    assert (error.saga_id, error.version) == ("pärked", 8)
    assert "to version 8, and is at 6 in the source" in str(error)
    assert target.read("pärked") == history(8)


def test_stores_with_other_sagas_and_the_same_plan_come_together(pair):
    source, target = pair.source, pair.target
    fill(source)
    target.record_definition(PLAN)
    put(target, "theirs", history(2))
    assert copy_store(source, target) == Copied(3, 2, 18, 0)
    assert target.open_sagas() == ["open", "pärked", "theirs"]
    assert copy_store(target, pair.open(pair.source_url)) == Copied(4, 3, 20, 18)


def test_what_was_parked_in_the_target_later_stays(pair):
    source, target = pair.source, pair.target
    fill(source)
    copy_store(source, target)
    target.set_parked("open", "no code there", at=LATER + timedelta(days=1))
    copy_store(source, target)
    found = target.summary("open")
    assert found is not None
    assert found.parked == "no code there"


def test_a_client_of_the_target_that_comes_between_is_a_conflict(two_files):
    source = two_files.source
    fill(source)
    began: list[str] = []

    class Target(SagaApplication):
        """A client starts a saga of the same id when the copy has looked whether it is there."""

        def insert(self, events, rows):
            if not began:
                began.append("open")
                put(self, "open", history(1, at=LATER))
            super().insert(events, rows)

    target = two_files.keep(Target(environment(two_files.target_url), url=two_files.target_url))
    target.migrate()
    with pytest.raises(CopyConflict) as caught:
        copy_store(source, target)
    assert (caught.value.saga_id, caught.value.version) == ("open", 1)
    assert target.log_page(0, limit=10) == [
        Notification(*_fields(target.stored("open", after=0, upto=9)[0]), 1)
    ]


def _fields(it: StoredEvent) -> tuple[str, int, str, bytes]:
    return str(it.originator_id), it.originator_version, it.topic, it.state


# -- with engines ----------------------------------------------------------------------------------------


@pytest.mark.promise("cli.copy")
def test_an_engine_goes_on_in_the_new_store_with_the_same_keys(pair):
    keys: list[str] = []
    asked = asyncio.Event()

    async def book(whom: str, *, attempt: Attempt) -> str:
        return f"a seat for {whom}"

    async def never(whom: str, seat: str, *, attempt: Attempt) -> str:
        keys.append(attempt.key)
        asked.set()
        return await asyncio.get_running_loop().create_future()

    async def charge(whom: str, seat: str, *, attempt: Attempt) -> str:
        keys.append(attempt.key)
        return f"{whom} paid for {seat}"

    before = define("trip", str).step(book).step(never, name="charge", needs=(book,))
    after = define("trip", str).step(book).step(charge, name="charge", needs=(book,))
    waits = define("waits", str).signal("go", str)

    async def begin() -> None:
        settings = Settings(drain=timedelta(0), migrate=True)
        async with SagaEngine(pair.source_url, sagas=[before, waits], settings=settings) as engine:
            await engine.start(before, "Ann", saga_id="a-1")
            await engine.start(waits, "Ann", saga_id="w-1")
            await asked.wait()

    async def go_on() -> tuple[object, object]:
        async with SagaEngine(pair.target_url, sagas=[after, waits]) as engine:
            first = await engine.outcome("a-1", timeout=timedelta(seconds=20))
            await engine.signal("w-1", "go", "now")
            second = await engine.outcome("w-1", timeout=timedelta(seconds=20))
            return first.results, second.results

    asyncio.run(begin())
    result = run("copy", "--from", pair.source_url, "--to", pair.target_url, "--migrate", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["sagas"], told["unfinished"], told["were_there"]) == (2, 2, 0)
    for saga_id in ("a-1", "w-1"):
        shown = [run("--store", url, "show", saga_id) for url in (pair.source_url, pair.target_url)]
        assert [it.exit_code for it in shown] == [0, 0]
        assert shown[0].stdout == shown[1].stdout
    assert asyncio.run(go_on()) == (
        {"book": "a seat for Ann", "charge": "Ann paid for a seat for Ann"},
        {"go": "now"},
    )
    assert keys == ["a-1/charge/action/1", "a-1/charge/action/1"]
    again = run("copy", "--from", pair.source_url, "--to", pair.target_url)
    assert again.exit_code == 1
    assert "it has gone on there" in again.stderr


@pytest.mark.promise("cli.copy")
@pytest.mark.parametrize("which", ["source", "target"])
def test_a_store_that_an_engine_works_on_is_refused(pair, which):
    fill(pair.source)
    busy = getattr(pair, which)
    busy.claim()
    with pytest.raises(StoreInUse) as caught, both_held(pair.source_url, pair.target_url, migrate=True):
        pass
    assert caught.value.store == busy.url
    result = run("copy", "--from", pair.source_url, "--to", pair.target_url, "--migrate")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "another engine" in result.stderr
    busy.close()
    assert run("copy", "--from", pair.source_url, "--to", pair.target_url, "--migrate").exit_code == 0


def test_no_engine_enters_while_it_copies(pair):
    pair.source, pair.target  # noqa: B018 - makes the tables
    with both_held(pair.source_url, pair.target_url):
        for url in (pair.source_url, pair.target_url):
            with pytest.raises(StoreInUse):
                pair.open(url).claim()
    pair.open(pair.source_url).claim()
    pair.open(pair.target_url).claim()
