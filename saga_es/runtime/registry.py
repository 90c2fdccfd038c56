"""The sagas an engine or client knows, and which of them can go on with a recorded one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from saga_es.authoring.bindings import SagaBindings
from saga_es.errors import DefinitionError, UnknownDefinition
from saga_es.model.definition import SagaDefinition


@dataclass(frozen=True, slots=True)
class Fit:
    """The plan to go on with, its callables, or why there are none."""

    definition: SagaDefinition
    bindings: SagaBindings | None
    incompatible: str | None


class Registry:
    """Definitions by name and version; old versions stay beside new ones while their sagas run."""

    def __init__(self, sagas: Iterable[SagaBindings]) -> None:
        self._known: dict[str, dict[int, SagaBindings]] = {}
        for bindings in sagas:
            definition = bindings.definition
            versions = self._known.setdefault(definition.name, {})
            if definition.version in versions:
                raise DefinitionError(
                    f"version {definition.version} is registered twice; give the newer one another version",
                    where=definition.name,
                )
            versions[definition.version] = bindings
            definition.work_out()

    @property
    def definitions(self) -> tuple[SagaDefinition, ...]:
        """All that are known, each version for itself."""
        return tuple(it.definition for versions in self._known.values() for it in versions.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._known)

    def versions(self, name: str) -> tuple[int, ...]:
        """Return the versions that are known of a definition, lowest first."""
        return tuple(sorted(self._known.get(name, ())))

    def get(self, name: str, version: int | None = None) -> SagaBindings | None:
        """Return the bindings of a version, by default the highest, or ``None``."""
        versions = self._known.get(name)
        if not versions:
            return None
        return versions.get(max(versions) if version is None else version)

    def find(self, name: str, version: int | None = None) -> SagaBindings:
        """Return the bindings, or raise UnknownDefinition."""
        found = self.get(name, version)
        if found is None:
            raise UnknownDefinition(name, version=version, known=self.names)
        return found

    def fit(self, recorded: SagaDefinition) -> Fit:
        """Return what can go on with a saga of the recorded plan: same version, same structure."""
        here = self.get(recorded.name, recorded.version)
        if here is None:
            known = ", ".join(f"{n} v{v}" for n, versions in self._known.items() for v in versions) or "none"
            reason = f"{recorded.name!r} version {recorded.version} is not registered here (known: {known})"
            return Fit(recorded, None, reason)
        if here.definition.structure != recorded.structure:
            return Fit(recorded, None, _difference(recorded, here.definition))
        return Fit(here.definition, here, None)


def _difference(recorded: SagaDefinition, here: SagaDefinition) -> str:
    gone = [name for name in recorded.order if name not in here.order]
    new = [name for name in here.order if name not in recorded.order]
    what = f"recorded {', '.join(gone) or 'the same names'}, here {', '.join(new) or 'the same names'}"
    return (
        f"the code's {here.name!r} version {here.version} is built differently from the recorded plan ({what}); "
        "register it under a new version beside the old one, or keep renamed steps' names: step(name=…)"
    )
