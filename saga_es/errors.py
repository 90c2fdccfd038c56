"""Every error that saga_es raises; each says what happened, why, and what to do, and carries its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Rejected(Exception):
    """Raise this in a step to say: the answer is no, and nothing happened.

    The step is not retried and has nothing to undo; the saga's other steps are compensated.
    """


class SagaError(Exception):
    """What all errors of this library are."""


class DefinitionError(SagaError):
    """A saga's definition can't work; ``where`` names the place in it."""

    def __init__(self, message: str, *, where: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where


class UnknownSaga(SagaError, LookupError):
    """No saga of this id is recorded in the store that was asked."""

    def __init__(self, saga_id: str) -> None:
        super().__init__(
            f"no saga {saga_id!r} is recorded in this store. Check the id and the store's URL; "
            "a saga exists once start() has returned."
        )
        self.saga_id = saga_id


class UnknownDefinition(SagaError, LookupError):
    """No saga definition of this name (and version) is registered here."""

    def __init__(self, name: str, *, version: int | None = None, known: Iterable[str] = ()) -> None:
        self.name, self.version, self.known = name, version, tuple(known)
        of = f" version {version}" if version is not None else ""
        super().__init__(
            f"no saga definition {name!r}{of} is registered here (known: {_listed(self.known)}). "
            "Pass it in sagas=[…] when the engine or client is made."
        )


class UnknownStep(SagaError, LookupError):
    """The saga's definition has no step of this name."""

    def __init__(self, step: str, *, saga_id: str, known: Iterable[str] = ()) -> None:
        self.step, self.saga_id, self.known = step, saga_id, tuple(known)
        super().__init__(
            f"saga {saga_id!r} has no step {step!r}; it has {_listed(self.known)}. "
            "If the step was renamed while sagas were running, keep the old name: step(name=…)."
        )


class UnknownSignal(SagaError, LookupError):
    """The saga's definition has no signal of this name."""

    def __init__(self, signal: str, *, saga_id: str, known: Iterable[str] = ()) -> None:
        self.signal, self.saga_id, self.known = signal, saga_id, tuple(known)
        super().__init__(f"saga {saga_id!r} has no signal {signal!r}; it has {_listed(self.known)}.")


class SignalConflict(SagaError):
    """The signal was received before, with another payload; the first one stands."""

    def __init__(self, signal: str, *, saga_id: str) -> None:
        self.signal, self.saga_id = signal, saga_id
        super().__init__(
            f"saga {saga_id!r} has received the signal {signal!r} with another payload, and that one stands. "
            "Sending the same payload again is harmless; a different one needs another saga."
        )


class SagaIdConflict(SagaError):
    """The id belongs to a saga with another definition or another input."""

    def __init__(self, saga_id: str, *, definition: str, recorded: str) -> None:
        self.saga_id, self.definition, self.recorded = saga_id, definition, recorded
        what = "with another input" if definition == recorded else f"of {recorded!r}"
        super().__init__(
            f"the id {saga_id!r} belongs to a saga {what}; start of {definition!r} was refused and changed "
            "nothing. Use another saga_id, or start with exactly the recorded input."
        )


class SagaAlreadyEnded(SagaError):
    """The saga has ended, so it takes no more of this."""

    def __init__(self, saga_id: str, *, status: str, asked: str) -> None:
        self.saga_id, self.status, self.asked = saga_id, status, asked
        super().__init__(
            f"saga {saga_id!r} has ended ({status}); {asked} comes too late and changed nothing. "
            "Its history tells how it ended: history(saga_id).trace()."
        )


class PastPivot(SagaError):
    """The pivot was dispatched: from here the saga only goes forward."""

    def __init__(self, saga_id: str, *, pivot: str) -> None:
        self.saga_id, self.pivot = saga_id, pivot
        super().__init__(
            f"saga {saga_id!r} can't be cancelled: its pivot {pivot!r} was dispatched, and from there on it "
            "only goes forward. Let it finish, then start a saga that makes up for it."
        )


class IllegalTransition(SagaError):
    """The lifecycle, or a guard on it, has no such move; ``allowed`` lists what would be."""

    def __init__(
        self, what: str, *, status: str, trigger: str, allowed: Iterable[str] = (), why: str | None = None
    ) -> None:
        self.what, self.status, self.trigger, self.allowed, self.why = (
            what,
            status,
            trigger,
            tuple(allowed),
            why,
        )
        reason = f": {why}" if why else ""
        super().__init__(
            f"{what} is {status}, where {trigger} is not allowed{reason}. Allowed there: {_listed(self.allowed)}."
        )


class InvalidInput(SagaError, ValueError):
    """A value given to the library does not fit; nothing was recorded or done."""

    def __init__(self, what: str, *, problem: str) -> None:
        self.what, self.problem = what, problem
        super().__init__(f"{what} is not valid: {problem}. Nothing was recorded; correct it and call again.")


class PayloadTooLarge(SagaError, ValueError):
    """A payload exceeds ``Settings.max_payload`` (bytes) or ``Settings.max_depth`` (levels)."""

    def __init__(self, what: str, *, size: int, limit: int, unit: str = "bytes") -> None:
        self.what, self.size, self.limit, self.unit = what, size, limit, unit
        setting = "max_depth" if unit == "levels" else "max_payload"
        super().__init__(
            f"{what} has {size} {unit}, over the limit of {limit}. Pass a reference (a key, a URL) instead of "
            f"the thing itself, or raise Settings.{setting}."
        )


class StoreInUse(SagaError):
    """Another engine works on this store, which one has alone; or a copy holds it, or finds an engine there."""

    def __init__(self, store: str, *, holder: str | None = None) -> None:
        self.store, self.holder = store, holder
        by = f" ({holder})" if holder else ""
        super().__init__(
            f"another engine{by} works on {store}. Stop it first; to start, signal or read sagas beside it, "
            "use SagaClient."
        )


class StoreUnavailable(SagaError):
    """The store does not answer; nothing was acknowledged that is not durable.

    ``saga_id`` names the saga of which something was to be recorded, and may be still.
    """

    def __init__(self, store: str, *, problem: str, saga_id: str | None = None) -> None:
        self.store, self.problem, self.saga_id = store, problem, saga_id
        what_now = (
            "Nothing was acknowledged that is not durable; asking again is safe."
            if saga_id is None
            else f"What was asked of saga {saga_id!r} may be recorded all the same; ask again with saga_id="
            f"{saga_id!r}, which is safe."
        )
        super().__init__(f"the store {store} does not answer: {problem}. {what_now}")


class EngineClosed(SagaError):
    """The engine or client was left (or not entered yet) when it was asked for something."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        super().__init__(
            f"{asked} needs an open engine or client: use it inside 'async with'. What is recorded goes on at the "
            "next entry; calling again with the same saga_id is safe."
        )


class StoreSchemaError(SagaError):
    """The store's tables are missing, or of a version this library does not know."""

    def __init__(self, store: str, *, found: int | None, expected: int) -> None:
        self.store, self.found, self.expected = store, found, expected
        if found is None:
            text = f"has no saga_es tables; run: saga-es --store URL migrate (schema {expected})"
        elif found > expected:
            text = f"has schema {found}, newer than {expected}, which this saga_es knows; upgrade saga_es"
        else:
            text = f"has schema {found}, older than {expected}; run: saga-es --store URL migrate"
        super().__init__(f"the store {store} {text}.")


class MissingExtra(SagaError, ImportError):
    """An optional part of saga_es was asked for that is not installed."""

    def __init__(self, extra: str, *, needed_for: str) -> None:
        self.extra, self.needed_for = extra, needed_for
        super().__init__(f"{needed_for} needs the extra {extra!r}: pip install 'saga_es[{extra}]'.")


class StoredEventError(SagaError):
    """A stored event can't be read: an unknown name, or data that does not validate."""

    def __init__(self, saga_id: str, *, version: int, type: str, problem: str) -> None:  # noqa: A002 - the field's name in the log
        self.saga_id, self.version, self.type, self.problem = saga_id, version, type, problem
        super().__init__(
            f"event {version} of saga {saga_id!r}, of type {type!r}, can't be read: {problem}. It was written by "
            "another program or a newer saga_es; the saga is set aside and the others go on."
        )


class VersionConflict(SagaError):
    """Somebody else appended to the saga's stream first; read it back and decide again."""

    def __init__(self, saga_id: str, *, expected: int) -> None:
        self.saga_id, self.expected = saga_id, expected
        super().__init__(
            f"saga {saga_id!r} has moved past version {expected}: another writer was first. "
            "Nothing of this append was recorded; read the stream and decide again."
        )


class CopyConflict(SagaError):
    """A saga that is to be copied is in the other store already, and not as it is here."""

    def __init__(self, saga_id: str, *, version: int, store: str, problem: str) -> None:
        self.saga_id, self.version, self.store, self.problem = saga_id, version, store, problem
        super().__init__(
            f"saga {saga_id!r} can't be copied to {store}: {problem}. Nothing there was overwritten. Two stores went "
            "on with one saga, or two sagas have one id: copy to a store that does not have it."
        )


class SagaFailed(SagaError):
    """Raised by ``Outcome.raise_for_failure()``: the saga failed, and how it ended."""

    def __init__(self, saga_id: str, *, ending: str, cause: str, residue: Iterable[str] = ()) -> None:
        self.saga_id, self.ending, self.cause, self.residue = saga_id, ending, cause, tuple(residue)
        stands = f"; still stands: {_listed(self.residue)}" if self.residue else ""
        super().__init__(f"saga {saga_id!r} failed ({ending}): {cause}{stands}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
