"""The pages of docs/reference that are made from the code say what the code says today."""

from __future__ import annotations

import pytest

from saga_es.model.events import EVENT_TYPES
from saga_es.model.problem import ProblemKind
from tests.docs.generating import MACHINES, PAGES, REFERENCE, page
from tests.docs.sentences import FIELDS_OF, KINDS, STATES, WHEN


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_its_code_makes(name):
    made = page(name)
    assert (REFERENCE / name).read_text(encoding="utf-8") == made, "run: python -m tests.docs.generating"


def test_sentences_are_about_what_there_is():
    assert list(WHEN) == list(EVENT_TYPES)
    assert list(KINDS) == list(ProblemKind)
    assert all(field in EVENT_TYPES[event].model_fields for event, field in FIELDS_OF)
    for name, machine in MACHINES.items():
        states = {state for (source, _), target in machine.rows.items() for state in (source, target)}
        assert set(STATES[name]) == states - {"unborn"}
