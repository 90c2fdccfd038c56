from __future__ import annotations

from saga_es.authoring.bindings import name_of


def definition_asked(saga: object) -> tuple[str, int | None]:
    """Return the name and version of what ``start`` was given; no version means the highest."""
    return name_of(saga)
