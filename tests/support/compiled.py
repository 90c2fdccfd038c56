"""Whether the modules that can be compiled are; see docs/howto/compile.md."""

from __future__ import annotations

from pathlib import Path

import pytest

import saga_es
from tests.support.build import IS_COMPILED

counts_lines = pytest.mark.skipif(
    IS_COMPILED, reason="counts the lines of Python that run, and compiled code runs none"
)


def stale(package: Path) -> list[str]:
    """Return the compiled modules that are older than their sources, or have none: what is run is not what is read."""
    compiled = [*package.rglob("*.so"), *package.rglob("*.pyd")]
    pairs = [(it, it.with_name(it.name.partition(".")[0] + ".py")) for it in compiled]
    return [
        str(it) for it, source in pairs if not source.exists() or source.stat().st_mtime > it.stat().st_mtime
    ]


def pytest_configure() -> None:
    old = stale(Path(saga_es.__file__).parent)
    if old:
        raise pytest.UsageError(
            f"{', '.join(old)}: older than the source beside it, or without one. Compile again, or delete what is "
            "compiled: git clean -fX -- saga_es (docs/howto/compile.md)"
        )


def pytest_report_header() -> str:
    return f"saga_es: {'compiled' if IS_COMPILED else 'not compiled'}"
