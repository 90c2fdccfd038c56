"""The house's floors, the public names, and the size of what is in it (DESIGN.md, section 2)."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import saga_es

ROOT = Path(__file__).parents[2]
LINES, LINES_OF_A_FUNCTION = 400, 40
OURS = sorted(path for folder in ("saga_es", "tests", "examples") for path in (ROOT / folder).rglob("*.py"))


# -- imports -------------------------------------------------------------------------------------------


def lint_imports(house: Path) -> subprocess.CompletedProcess[str]:
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    env = {**os.environ, "PYTHONPATH": str(house)}
    return subprocess.run(
        [sys.executable, "-c", lint], cwd=house, env=env, capture_output=True, text=True, check=False
    )


def test_imports_go_down_only():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("room", "line", "contract"),
    [
        ("errors", "import saga_es.model.keys", "The house"),
        ("model/keys", "import saga_es.authoring.attempt", "The house"),
        ("store/port", "import saga_es.runtime.clock", "The house"),
        ("transport/port", "import saga_es.store.port", "The house"),
        ("new_room", "", "The house"),
        ("model/evolve", "import saga_es.model.decide", "The ground floor"),
        ("store/schema", "import saga_es.store.application", "No circles"),
        ("model/decide", "import asyncio", "The model is pure"),
        ("model/decide", "from random import random", "The model is pure"),
        ("model/events", "import eventsourcing.domain", "The model is pure"),
        ("store/index", "import asyncio", "Async lives"),
        ("runtime/writer", "import eventsourcing.persistence", "eventsourcing is known"),
        ("history/text", "import click", "click is known"),
        ("runtime/clock", "import saga_es", "The public names"),
    ],
)
def test_an_import_that_goes_astray_is_seen(tmp_path, room, line, contract):
    shutil.copytree(ROOT / "saga_es", tmp_path / "saga_es")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "saga_es" / f"{room}.py").open("a") as module:
        module.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    broken = [told for told in done.stdout.splitlines() if told.endswith("BROKEN")]
    assert any(told.startswith(contract) for told in broken)


# -- the public names ----------------------------------------------------------------------------------


def test_the_public_names_are_listed_in_order_and_are_all_there_is():
    names = saga_es.__all__
    assert names == sorted(set(names))
    assigned = ast.parse((ROOT / "saga_es" / "__init__.py").read_text())
    (listed,) = [node for node in assigned.body if isinstance(node, ast.Assign)]
    assert isinstance(listed.value, ast.List)  # written out, not worked out
    imported = {
        alias.asname or alias.name
        for node in assigned.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == set(names)
    assert len(assigned.body) == 2 + sum(isinstance(node, ast.ImportFrom) for node in assigned.body)


def test_every_public_error_is_a_public_name():
    errors = importlib.import_module("saga_es.errors")
    public = {name for name, kind in vars(errors).items() if isinstance(kind, type) and name[0] != "_"}
    assert public <= set(saga_es.__all__)


@pytest.mark.parametrize("name", saga_es.__all__)
def test_a_public_name_says_what_it_is(name):
    thing = getattr(saga_es, name)
    said = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    assert said
    assert not said.startswith(f"{name}(")  # a dataclass's own words say nothing
    assert said[0].isupper()
    assert said.split("\n\n")[0].rstrip().endswith((".", "…", ":"))


# -- sizes ---------------------------------------------------------------------------------------------


def test_no_file_is_too_long_to_be_read():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in OURS}
    assert len(lengths) > 150
    assert {path: length for path, length in lengths.items() if length > LINES} == {}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}: {node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_no_function_is_too_long_to_be_seen_whole():
    lengths = dict(found for path in OURS if ROOT / "saga_es" in path.parents for found in functions(path))
    assert len(lengths) > 500
    assert {name: length for name, length in lengths.items() if length > LINES_OF_A_FUNCTION} == {}
