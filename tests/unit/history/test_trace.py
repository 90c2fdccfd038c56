from __future__ import annotations

from datetime import timedelta

import pytest

from saga_es.model.commands import (
    ForceCompensated,
    RetryStep,
    SkipStep,
    SupplyRejection,
    SupplyResult,
)
from saga_es.model.definition import Retry, SignalDefinition

MARIA = """\
❗ begin saga

✔ book plane ticket
✔ book hotel room
✔ buy tourist tickets

❗ all steps succeeded

✔ end saga (success)"""

KEVIN = """\
❗ begin saga

✔ book plane ticket
❌ book hotel room (no available hotel rooms)
✔ buy tourist tickets

❗ step failed: reverting

✔ cancel plane ticket booking
✔ cancel tourist ticket reservations

❌ end saga (no available hotel rooms)"""


def lines(*text: str) -> str:
    return "\n".join(text)


@pytest.mark.promise("call.History.trace")
def test_marias_saga_succeeds(theatre):
    play = theatre.trip().start().ok("buy_tickets").ok("book_hotel").ok("book_plane")
    assert play.trace == MARIA


@pytest.mark.promise("call.History.trace")
def test_kevins_hotel_has_no_rooms_and_equal_runs_read_alike(theatre):
    assert theatre.kevin().trace == KEVIN
    other = (
        theatre.trip()
        .start()
        .ok("book_plane")
        .ok("buy_tickets")
        .rejected("book_hotel", "no available hotel rooms")
    )
    assert other.undone("book_plane").undone("buy_tickets").trace == KEVIN


def test_an_empty_saga_begins_and_succeeds(theatre):
    assert theatre.play().start().trace == lines(
        "❗ begin saga", "", "❗ all steps succeeded", "", "✔ end saga (success)"
    )


def test_unfinished_sagas_tell_what_there_is(theatre):
    play = theatre.trip().start()
    assert play.trace == "❗ begin saga"
    assert play.ok("book_hotel").trace == lines("❗ begin saga", "", "✔ book hotel room")
    play.rejected("book_plane", "full").ok("buy_tickets").undone("buy_tickets")
    assert play.trace == lines(
        "❗ begin saga",
        "",
        "❌ book plane ticket (full)",
        "✔ book hotel room",
        "✔ buy tourist tickets",
        "",
        "❗ step failed: reverting",
        "",
        "✔ cancel tourist ticket reservations",
    )


def test_retries_are_silent(theatre):
    play = theatre.play(theatre.step("a", retry=Retry(attempts=3))).start()
    play.error("a", "busy").wait(timedelta(seconds=1)).error("a", "busy", 2).wait(timedelta(seconds=1)).ok(
        "a", 1, 3
    )
    assert play.trace == MARIA.replace("✔ book plane ticket\n✔ book hotel room\n✔ buy tourist tickets", "✔ a")


def test_an_unknown_outcome_is_told_with_its_message_and_undone(theatre):
    play = theatre.play(theatre.step("a")).start().error("a", "the line broke").undone("a")
    assert play.trace == lines(
        "❗ begin saga", "", "❌ a (the line broke)", "", "❗ step failed: reverting", "",
        "✔ undo a", "", "❌ end saga (the line broke)",
    )  # fmt: skip


def test_signals_received_and_timed_out(theatre):
    nodes = theatre.step("a"), SignalDefinition(name="approval", title="approval", timeout=timedelta(hours=1))
    play = theatre.play(*nodes).start().ok("a").signal("approval", {"by": "ann"})
    assert "\n✔ approval\n" in play.trace
    late = theatre.play(*nodes).start().ok("a").wait(timedelta(hours=2)).undone("a")
    assert late.trace == lines(
        "❗ begin saga", "", "✔ a", "❌ approval (timed out)", "", "❗ step failed: reverting", "", "✔ undo a", "",
        "❌ end saga (the signal 'approval' did not come in time)",
    )  # fmt: skip


def test_cancel(theatre):
    play = theatre.trip().start().ok("book_plane").cancel().ok("book_hotel").ok("buy_tickets")
    play.undone("book_plane").undone("book_hotel").undone("buy_tickets")
    assert play.trace == lines(
        "❗ begin saga",
        "",
        "✔ book plane ticket",
        "✔ book hotel room",
        "✔ buy tourist tickets",
        "",
        "❗ cancel requested: reverting",
        "",
        "✔ cancel plane ticket booking",
        "✔ cancel hotel room reservation",
        "✔ cancel tourist ticket reservations",
        "",
        "❌ end saga (customer asked)",
    )


def test_a_cancel_after_a_failure_leaves_the_failure_as_the_cause(theatre):
    play = theatre.trip().start().rejected("book_plane", "full").cancel().ok("book_hotel").ok("buy_tickets")
    assert "❗ step failed: reverting" in play.trace
    assert "cancel requested" not in play.trace


def test_a_cancelled_saga_with_nothing_done_has_no_empty_blocks(theatre):
    play = theatre.trip(room=0).start().cancel()
    assert play.trace == lines(
        "❗ begin saga", "", "❗ cancel requested: reverting", "", "❌ end saga (customer asked)"
    )


def test_residue_is_named_at_the_end_in_definition_order(theatre):
    nodes = [theatre.step("a", undo=None), theatre.step("b"), theatre.step("c", undo=None)]
    play = theatre.play(*nodes).start().ok("c").ok("a").rejected("b", "no")
    assert play.trace.endswith("❗ step failed: reverting\n\n❌ end saga (no; stands: a, c)")


def test_a_stuck_compensation_is_told_and_forced(theatre):
    play = theatre.trip().start().ok("book_plane").ok("buy_tickets").rejected("book_hotel", "no")
    play.undone("buy_tickets").undo_error("book_plane", "gateway\ndown")
    begin = lines(
        "❗ begin saga",
        "",
        "✔ book plane ticket",
        "❌ book hotel room (no)",
        "✔ buy tourist tickets",
        "",
        "❗ step failed: reverting",
        "",
    )
    assert play.trace == begin + lines(
        "\n❌ cancel plane ticket booking (gateway down)",
        "✔ cancel tourist ticket reservations",
        "",
        "❗ parked: cancel plane ticket booking (gateway down)",
    )
    play.repair(ForceCompensated, "book_plane")
    assert play.trace == begin + lines(
        "\n❌ cancel plane ticket booking (gateway down)",
        "❗ cancel plane ticket booking (forced by ann: saw it)",
        "✔ cancel tourist ticket reservations",
        "",
        "❌ end saga (no)",
    )


def test_an_operators_retry_is_silent_too(theatre):
    play = theatre.play(theatre.step("a"), theatre.step("b")).start().ok("a").rejected("b", "no")
    play.undo_error("a", "down").repair(RetryStep, "a").undone("a", attempt=2)
    assert play.trace.endswith("❗ step failed: reverting\n\n✔ undo a\n\n❌ end saga (no)")


def test_past_the_pivot_the_saga_parks_and_repairs_are_told(theatre):
    nodes = [
        theatre.step("charge", undo=None, pivot=True),
        theatre.step("ship", undo=None, needs=("charge",), retry=Retry(attempts=1)),
        theatre.step("thank", undo=None, needs=("charge",), retry=Retry(attempts=1)),
        theatre.step("rate", undo=None, needs=("charge",), retry=Retry(attempts=1)),
    ]
    play = theatre.play(*nodes).start().ok("charge").rejected("ship", "no van").error("thank", "no mail")
    play.rejected("rate", "shy")
    assert play.trace.endswith(
        lines(
            "❌ ship (no van)",
            "❌ thank (no mail)",
            "❌ rate (shy)",
            "",
            "❗ parked: ship (no van)",
            "❗ parked: thank (no mail)",
            "❗ parked: rate (shy)",
        )
    )
    play.repair(SupplyResult, "ship", result=7).repair(SkipStep, "thank").repair(RetryStep, "rate").ok(
        "rate", 1, 2
    )
    assert play.trace == lines(
        "❗ begin saga",
        "",
        "✔ charge",
        "❌ ship (no van)",
        "✔ ship (result supplied by ann: saw it)",
        "❌ thank (no mail)",
        "❗ thank (skipped by ann: saw it)",
        "✔ rate",
        "",
        "❗ all steps succeeded",
        "",
        "✔ end saga (success)",
    )


def test_a_supplied_rejection_is_told_beneath_the_failure(theatre):
    play = theatre.play(theatre.step("charge", undo=None, pivot=True)).start().error("charge", "line broke")
    play.repair(SupplyRejection, "charge")
    assert play.trace == lines(
        "❗ begin saga",
        "",
        "❌ charge (line broke)",
        "❌ charge (rejection supplied by ann: saw it)",
        "",
        "❗ step failed: reverting",
        "",
        "❌ end saga (saw it)",
    )


def test_paused_is_told_while_it_lasts(theatre):
    play = theatre.trip().start().pause()
    assert play.trace == lines("❗ begin saga", "", "❗ paused by ann: look first")
    assert play.resume().trace == "❗ begin saga"


def test_a_late_success_before_the_end_is_told_below_its_failure(theatre):
    play = theatre.play(theatre.step("a"), theatre.step("b")).start().error("a", "timed out").ok("a", 3)
    play.ok("b").undone("b").undone("a")
    assert play.trace == lines(
        "❗ begin saga",
        "",
        "❌ a (timed out)",
        "❗ a (succeeded late)",
        "✔ b",
        "",
        "❗ step failed: reverting",
        "",
        "✔ undo a",
        "✔ undo b",
        "",
        "❌ end saga (timed out)",
    )


def test_a_late_success_after_the_end_opens_another_round(theatre):
    play = theatre.play(theatre.step("a")).start().error("a", "timed out").undone("a")
    ended = play.trace
    play.ok("a", 3)
    assert play.trace == lines(ended, "", "❗ a (succeeded late; stands)")
    assert play.state.residue == ("a",)
    play.undo_error("a", "down", round_=2)
    assert play.trace == lines(
        ended,
        "",
        "❗ a (succeeded late; stands)",
        "",
        "❌ undo a (round 2) (down)",
        "",
        "❗ parked: undo a (down)",
    )
    play.repair(RetryStep, "a").undone("a", attempt=2, round_=2)
    assert play.trace == lines(ended, "", "❗ a (succeeded late)", "", "✔ undo a (round 2)")


def test_a_round_after_the_end_that_is_forced(theatre):
    play = theatre.play(theatre.step("a")).start().error("a", "timed out").undone("a")
    ended = play.trace
    play.ok("a", 3).undo_error("a", "down", round_=2).repair(ForceCompensated, "a")
    assert play.trace == lines(
        ended,
        "",
        "❗ a (succeeded late)",
        "",
        "❌ undo a (round 2) (down)",
        "❗ undo a (round 2) (forced by ann: saw it)",
    )


def test_a_late_success_of_a_compensation_that_is_stuck(theatre):
    play = theatre.play(theatre.step("a"), theatre.step("b")).start().ok("a").rejected("b", "no")
    play.undo_error("a", "down").undone("a")
    assert "❌ undo a (down)\n❗ undo a (succeeded late)\n" in play.trace


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("two\nlines", "two lines"),
        ("two \r\n\t lines\u2028three", "two lines three"),
        ("red \x1b[31m\x07", "red \\x1b[31m\\x07"),
        ("turned \u202egnirts", "turned \\u202egnirts"),
        ("", "NoRooms"),
        ("❗ émoji 👩\u200d🚀", "❗ émoji 👩\u200d🚀"),
    ],
)
def test_messages_stay_on_their_line_and_drive_no_terminal(theatre, message, shown):
    play = theatre.play(theatre.step("a")).start().rejected("a", message)
    assert play.trace == lines(
        "❗ begin saga", "", f"❌ a ({shown})", "", "❗ step failed: reverting", "", f"❌ end saga ({shown})"
    )


def test_titles_are_made_printable_too(theatre):
    play = theatre.play(theatre.step("a", "a\x1b]0;title\x07\nb")).start().ok("a")
    assert "✔ a\\x1b]0;title\\x07 b\n" in play.trace
