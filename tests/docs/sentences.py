"""What the generated pages say that stands nowhere in the code: when an event is recorded, what a field holds."""

from __future__ import annotations

from typing import Final

WHEN: Final = {
    "SagaStarted": "The saga exists. Always version 1; `start` returns once it is durable.",
    "StepDispatched": "The step's action may begin at once. Committed before the call is made, so that no effect is "
    "without its intent in the log. A call that is issued again after a crash is no new event.",
    "StepSucceeded": "The action returned, in any of its attempts, or a probe said that it had happened.",
    "StepRejected": "The action raised `Rejected`, or an exception named in `rejects=`, and no earlier attempt is in "
    "doubt; or a probe said that nothing happened and the retries are used up.",
    "StepRetryScheduled": "The attempt has no definite answer (or a probe says that nothing happened), and the policy "
    "has attempts left.",
    "StepOutcomeUnknown": "The retries are used up, or were given up, without a definite answer: the effect may have "
    "happened.",
    "SagaCompensating": "A step failed, a signal timed out or the saga was cancelled, and nothing is in flight any "
    "more. Recorded even if nothing is owed.",
    "CompensationDispatched": "The compensation may begin at once; committed before the call, like `StepDispatched`.",
    "CompensationRetryScheduled": "The compensation failed, and its policy has attempts left.",
    "StepCompensated": "The compensation returned.",
    "SagaSucceeded": "Every step succeeded or was skipped, every signal was received. The saga has ended.",
    "SagaFailed": "Nothing is left to compensate. The saga has ended; a late success may still open another round.",
    "SagaParked": "The saga waits for somebody: one event for each stuck step or overdue signal. It "
    "closes the attempt.",
    "SagaUnparked": "What the saga was parked on was repaired, or its signal came.",
    "CancelRequested": "Somebody asked the saga to turn round. Once the saga is compensating it is recorded, and "
    "changes nothing else.",
    "SignalAwaited": "The signal's needs are met; it is waited for from here on.",
    "SignalReceived": "The signal came; it may come before it is awaited.",
    "SignalTimedOut": "The signal did not come by its due time.",
    "LateOutcomeReceived": "An answer came after its attempt was given up, and tells something new.",
    "RetryRequested": "An operator asked to try now, or anew with the budget renewed.",
    "ResultSupplied": "An operator said what the step's result is. Counts as a success.",
    "RejectionSupplied": "An operator said that the step's effect did not happen.",
    "StepSkipped": "An operator let the saga go on without the step; its result is `null`.",
    "CompensationForced": "An operator declared the step undone by other means.",
    "SagaPaused": "An operator stopped all dispatches, in both directions.",
    "SagaResumed": "An operator let the saga go on.",
}

FIELDS: Final = {
    "step": "the step's name",
    "definition": "the definition's name",
    "definition_version": "the definition's version",
    "digest": "`sha256:…` of the plan, recorded once for all its sagas",
    "input": "what the saga was started with",
    "attempt": "counts from 1 for each step, direction and round",
    "key": "the call's idempotency key, `saga_id/step/action/1` or `saga_id/step/compensation/ROUND`",
    "deadline": "when the attempt times out; null waits for ever",
    "result": "what the step returned, or what was supplied",
    "error": "what went wrong",
    "why": "why nothing definite is known",
    "due": "when the next attempt follows",
    "cause": "the first failure in the log, with its step or signal; for a cancel, without",
    "round": "of the compensation, from 1; only a late success opens another",
    "ending": "`compensated`, `residue` or `forced`",
    "residue": "the steps of which an effect may stand, in the definition's order",
    "op": "`action` or `compensation`",
    "by": "who",
    "reason": "why, in words",
    "signal": "the signal's name",
    "payload": "what was sent with it",
    "outcome": '`{"kind": "succeeded", "result": …}`, or a problem',
}

FIELDS_OF: Final = {
    ("SagaParked", "reason"): "why, as a problem",
    ("SagaParked", "step"): "the step or signal; null for the whole saga",
    ("SagaParked", "op"): "which of the step's calls is stuck; null for a signal",
    ("SagaParked", "round"): "1 for an action, the compensation's round; null for a signal",
    ("SagaParked", "attempt"): "the attempt that it closes; null where none was made",
    ("SagaUnparked", "step"): "the step or signal; null for the whole saga",
    ("SignalAwaited", "due"): "when it times out; null waits for ever",
}

KINDS: Final = {
    "rejected": "a definite no: nothing happened",
    "error": "an exception, or a result that can't be recorded",
    "timeout": "no answer in time",
    "cancelled": 'the saga was cancelled, or the engine cancelled the coroutine (`on_failure="cancel"`)',
    "too_large": "the result is over `max_payload` or `max_depth`",
    "abandoned": "the step waited for a retry when the saga failed",
    "incompatible": "reserved for sagas that the code at hand can't run; no event carries it today",
}

GUARDS: Final = {
    "saga": (
        "`SagaSucceeded` from pending: a saga with nothing to do, one without steps, succeeds at once.",
        "A terminal state is left by no event. A late success may still be undone; the saga stays `failed`.",
    ),
    "step": (
        "`RetryRequested` from rejected or unknown: only when the saga is parked on the step.",
        "`ResultSupplied` and `RejectionSupplied` from waiting: only while the saga is not on its way back.",
        "`ResultSupplied` from rejected: not once a step that it needed is being undone.",
        "`RejectionSupplied` after the pivot: not while the dispatched pivot itself is open.",
        "`StepSkipped`: never on the way back, and not where a later step does not accept `None` for the result.",
        "`CompensationDispatched` from compensated: only for another round, after a late success.",
        "`CompensationForced`: only while the saga compensates, or in the round after its end.",
        "`SagaParked` on a rejected or unknown step: the pivot without compensation, or a step after the pivot.",
        "Nothing is repaired while its attempt is in flight: dispatched and undoing have no row for a repair.",
    ),
    "signal": (
        "`SignalReceived` from waiting: it came early, and is kept.",
        "`SignalReceived` from timed_out: only where the saga is parked on it, past the pivot.",
        "Once the saga is on its way back it takes no more signals.",
    ),
}

STATES: Final = {
    "saga": {
        "pending": "started; nothing was dispatched and no signal awaited",
        "running": "on its way forward, or draining: a failure is recorded and attempts are still in flight",
        "compensating": "on its way back",
        "succeeded": "ended: every step succeeded or was skipped",
        "failed": "ended: what was done was undone, forced, or is named as residue",
    },
    "step": {
        "waiting": "its needs are not met, or it has no room yet",
        "dispatched": "its action is in flight",
        "retrying": "its action failed and will be tried again",
        "succeeded": "its action succeeded, or its result was supplied",
        "rejected": "definitely nothing happened",
        "unknown": "its effect may have happened",
        "skipped": "an operator let the saga go on without it",
        "undoing": "its compensation is in flight",
        "undo_retrying": "its compensation failed and will be tried again",
        "compensated": "its compensation succeeded",
        "stuck": "its compensation failed and its retries are used up: the saga is parked",
        "forced": "an operator declared it undone",
    },
    "signal": {
        "waiting": "its needs are not met",
        "awaited": "it is waited for",
        "received": "it came",
        "timed_out": "it did not come in time",
    },
}

VERBS: Final = {
    "demo": "Needs no store.",
    "list": "`parked` sagas have their reason on a line of its own.",
    "show": "The saga, how it stands, its trace (see [the trace](trace.md)) and what is still to come. `parked` also "
    "tells what the index alone knows: that the saga can't be run or read by the engine that tried.",
    "events": "One event a line: version, instant, what happened, and the value it carries, shortened.",
    "export": "The format is [history as JSON](history-json.md). `--json` changes nothing.",
    "copy": "`--store` and `SAGA_ES_STORE` do not count here. It holds the engine's place on both stores; see "
    "[stores](../howto/stores.md#move-to-another-store).",
    "migrate": "PostgreSQL stores need it before their first use and after an upgrade of saga_es; see "
    "[stores](../howto/stores.md#make-and-upgrade-the-tables).",
}

SETTINGS_NOTES: Final = {
    "migrate": "`None` is that default.",
}
