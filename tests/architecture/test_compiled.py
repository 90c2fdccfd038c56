"""What can be compiled: every module named is there, and what is stale is noticed."""

from __future__ import annotations

import importlib
import os
import tomllib
from pathlib import Path

import pytest

import saga_es
from saga_es.runtime.observing import CommitObserver
from tests.support.compiled import stale

ROOT = Path(__file__).parents[2]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "hooks"
]["mypyc"]


@pytest.mark.parametrize("name", HOOK["include"])
def test_a_module_to_be_compiled_builds_on_no_class_of_others(name: str):
    module = importlib.import_module(name.removesuffix(".py").replace("/", "."))
    made = [it for it in vars(module).values() if isinstance(it, type) and it.__module__ == module.__name__]

    bases = {base.__module__.partition(".")[0] for it in made for base in it.__mro__}
    assert not bases & {"eventsourcing", "pydantic"}


def is_compiled(what: object) -> bool:
    return f"{what.__module__.replace('.', '/')}.py" in HOOK["include"]


@pytest.mark.parametrize("name", saga_es.__all__)
def test_no_public_name_is_compiled(name: str):
    """Users subclass them, patch them, pickle them."""
    assert not is_compiled(getattr(saga_es, name))


def test_nor_is_what_a_public_signature_names():
    assert not is_compiled(CommitObserver)


def test_nothing_is_compiled_that_was_not_asked_for():
    assert HOOK["enable-by-default"] is False


@pytest.mark.parametrize("ending", [".cpython-311-x86_64-linux-gnu.so", ".cp311-win_amd64.pyd"])
def test_a_compiled_module_older_than_its_source_is_noticed(tmp_path: Path, ending: str):
    source, compiled = tmp_path / "fold.py", tmp_path / f"fold{ending}"
    for path in (source, compiled):
        path.touch()
    os.utime(source, (1_000, 1_000))
    os.utime(compiled, (2_000, 2_000))
    assert stale(tmp_path) == []

    os.utime(source, (3_000, 3_000))

    assert stale(tmp_path) == [str(compiled)]
    source.unlink()
    assert stale(tmp_path) == [str(compiled)]
