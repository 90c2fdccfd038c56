"""A saga's plan as data: names, titles, needs, policies and schemas; frozen JSON with a digest."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

from saga_es.errors import DefinitionError
from saga_es.model.base import Frozen
from saga_es.model.graph import Graph
from saga_es.model.plan import Plan

STEP_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
NonEmpty = Annotated[str, StringConstraints(min_length=1)]
PositiveDelta = Annotated[timedelta, Field(gt=timedelta(0))]
Timeout = PositiveDelta | Literal["default"] | None
"""How long one attempt may take: ``None`` waits for ever, "default" is the engine's `Settings.step_timeout`."""


class Retry(Frozen):
    """How often, and how far apart, an attempt without a definite answer is made again.

    Attributes:
        attempts: in all, the first one included.
        delay: before the second attempt; each later one waits ``factor`` times longer, up to ``max_delay``.
        jitter: the share of a delay that chance adds or takes, 0 to 1.
    """

    attempts: Annotated[int, Field(ge=1)] = 1
    delay: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(milliseconds=100)
    factor: Annotated[float, Field(ge=1.0)] = 2.0
    max_delay: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(minutes=1)
    jitter: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1

    def delay_after(self, attempt: int, chance: float) -> timedelta:
        """Return the wait after ``attempt`` (from 1) of the budget has failed; ``chance`` is in [0, 1)."""
        try:
            seconds = self.delay.total_seconds() * self.factor ** (attempt - 1)
        except OverflowError:
            seconds = self.max_delay.total_seconds()
        seconds = min(seconds, self.max_delay.total_seconds())
        try:
            return timedelta(seconds=seconds * (1 + self.jitter * (2 * chance - 1)))
        except OverflowError:
            return timedelta.max


class CompensationDefinition(Frozen):
    """The semantic undo of a step."""

    name: NonEmpty
    title: NonEmpty
    retry: Retry | None = None
    timeout: Timeout = "default"


class StepDefinition(Frozen):
    """A node that acts.

    Attributes:
        needs: names of the steps and signals whose results it takes, in that order.
        optional: those of ``needs`` for which it accepts ``None`` (a skipped step's result).
        retry: ``None`` for the engine's default.
        probe: the name of the function that is asked whether a lost attempt had its effect.
        result_schema: JSON schema of the result, where one could be made.
    """

    name: NonEmpty
    title: NonEmpty
    needs: tuple[str, ...] = ()
    pivot: bool = False
    read_only: bool = False
    retry: Retry | None = None
    timeout: Timeout = "default"
    compensation: CompensationDefinition | None = None
    probe: str | None = None
    optional: tuple[str, ...] = ()
    result_schema: dict[str, JsonValue] | None = None


class SignalDefinition(Frozen):
    """A node that waits for somebody outside to say something."""

    name: NonEmpty
    title: NonEmpty
    needs: tuple[str, ...] = ()
    timeout: PositiveDelta | None = None
    payload_schema: dict[str, JsonValue] | None = None


class SagaDefinition(Frozen):
    """A saga's plan.

    Attributes:
        order: the names of all nodes, steps and signals, as they were declared.
        on_failure: "drain" lets attempts in flight finish after a failure; "cancel" cancels coroutines.

    Raises:
        DefinitionError: the graph can't work; the message names the place.
    """

    name: NonEmpty
    version: Annotated[int, Field(ge=1)] = 1
    on_failure: Literal["drain", "cancel"] = "drain"
    input_schema: dict[str, JsonValue] | None = None
    steps: tuple[StepDefinition, ...] = ()
    signals: tuple[SignalDefinition, ...] = ()
    order: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _lint(self) -> Self:
        declared = [*(step.name for step in self.steps), *(signal.name for signal in self.signals)]
        seen: set[str] = set()
        for name in declared:
            if not STEP_NAME.match(name):
                raise DefinitionError(
                    f"the name {name!r} is not allowed: letters, digits, _ and -, not beginning with a digit or -",
                    where=self.name,
                )
            if name in seen:
                raise DefinitionError(f"two nodes are named {name!r}; rename one", where=self.name)
            seen.add(name)
        if sorted(self.order) != sorted(declared):
            raise DefinitionError(f"order {self.order} does not list the nodes {declared}", where=self.name)
        _ = self.graph  # linting is building it
        return self

    @cached_property
    def nodes(self) -> tuple[StepDefinition | SignalDefinition, ...]:
        """All nodes in the declared order; a node's place here is its index everywhere."""
        by_name: dict[str, StepDefinition | SignalDefinition] = {step.name: step for step in self.steps}
        by_name.update((signal.name, signal) for signal in self.signals)
        return tuple(by_name[name] for name in self.order)

    @cached_property
    def graph(self) -> Graph:
        nodes = self.nodes
        pivot = [node.name for node in nodes if isinstance(node, StepDefinition) and node.pivot]
        undoable = {node.name for node in nodes if isinstance(node, StepDefinition) and node.compensation}
        return Graph.build(
            self.name, {node.name: node.needs for node in nodes}, pivots=pivot, undoable=undoable
        )

    @cached_property
    def plan(self) -> Plan:
        """What the fold needs of this, worked out once."""
        return Plan.of(self)

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` over the whole plan, titles and policies too."""
        return _digest(self.model_dump(mode="json"))

    @cached_property
    def structure(self) -> str:
        """``sha256:…`` over what newer code must share to go on with an older saga."""
        steps = [[s.name, s.needs, s.compensation is not None, s.pivot] for s in self.steps]
        return _digest([self.name, steps, [[s.name, s.needs] for s in self.signals]])

    @cached_property
    def lane(self) -> str:
        """16 hexadecimal digits for all sagas of one name, version and structure: the same code can run them."""
        text = f"{self.structure}/{self.version}/{self.name}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def work_out(self) -> None:
        """Work out now what starts ask for: of ten thousand steps it takes the loop a sixth of a second."""
        _ = self.plan, self.digest, self.lane, self.text

    def step(self, name: str) -> StepDefinition | None:
        index = self.graph.index.get(name)
        node = self.nodes[index] if index is not None else None
        return node if isinstance(node, StepDefinition) else None

    def signal(self, name: str) -> SignalDefinition | None:
        index = self.graph.index.get(name)
        node = self.nodes[index] if index is not None else None
        return node if isinstance(node, SignalDefinition) else None

    def to_json_value(self) -> dict[str, JsonValue]:
        """Return the plan with its digest, as it is recorded and exported."""
        return {**self.model_dump(mode="json"), "digest": self.digest}

    @cached_property
    def text(self) -> bytes:
        """What ``to_json_value`` returns as JSON text, to the byte, in a third of the time."""
        return b'%b,"digest":"%b"}' % (self.model_dump_json().encode()[:-1], self.digest.encode())

    @classmethod
    def from_json_value(cls, value: dict[str, JsonValue]) -> SagaDefinition:
        """Read what ``to_json_value`` wrote; a digest that does not match is a ValueError."""
        data = dict(value)
        digest = data.pop("digest", None)
        made = cls.model_validate_json(json.dumps(data))
        if digest is not None and digest != made.digest:
            raise ValueError(
                f"the plan of {made.name!r} has the digest {made.digest}, but is recorded as {digest}"
            )
        return made


def _digest(value: Any) -> str:
    # Canonical JSON: the same plan gives the same digest in every process.
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
