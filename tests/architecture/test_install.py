"""What comes with the core install, and what importing it loads."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ON_WINDOWS = {"colorama"} if sys.platform == "win32" else set()  # click's


def core_requirements(name: str) -> set[str]:
    """Return what a distribution requires without any of its extras."""
    asked = [Requirement(line) for line in distribution(name).requires or ()]
    return {
        canonicalize_name(requirement.name)
        for requirement in asked
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }


def pulled_in_by(name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = core_requirements(waiting.pop()) - found
        found |= new
        waiting += new
    return found


def test_the_core_install_needs_four_packages():
    assert core_requirements("saga_es") == {"click", "eventsourcing", "pydantic", "transitions"}


def test_and_what_those_need():
    assert pulled_in_by("saga_es") == ON_WINDOWS | {
        "annotated-types",
        "click",
        "eventsourcing",
        "pydantic",
        "pydantic-core",
        "six",
        "transitions",
        "typing-extensions",
        "typing-inspection",
    }


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_library_loads_nothing_optional():
    loaded = loaded_by("import saga_es")
    assert "saga_es.runtime.engine" in loaded
    optional = {
        "click", "faststream", "hypothesis", "psycopg", "psycopg_pool", "pytest", "sqlite3", "starlette",
        "eventsourcing.postgres", "eventsourcing.sqlite", "saga_es.cli", "saga_es.diagram", "saga_es.testing",
        "saga_es.store.recorders.postgres", "saga_es.store.recorders.sqlite",
    }  # fmt: skip
    assert loaded & optional == set()


@pytest.mark.parametrize("module", ["saga_es.errors", "saga_es.model.definition"])
def test_the_store_s_library_is_not_needed_below_it(module):
    # `import saga_es` itself loads all public names, so the rooms are looked at as what they import.
    loaded = loaded_by(
        "import importlib.util, types; spec = importlib.util.find_spec('saga_es'); "
        "room = types.ModuleType('saga_es'); room.__path__ = spec.submodule_search_locations; "
        f"sys.modules['saga_es'] = room; import {module}"
    )
    assert module in loaded
    assert loaded & {"asyncio", "click", "eventsourcing", "psycopg", "sqlite3"} == set()
