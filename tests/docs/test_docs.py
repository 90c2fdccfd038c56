"""What the documentation shows is run, and what it says is printed is printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import ROOT, RUN, anchors, blocks, links, pages, timeless

# As the pages name it; here it is a database of the test's own.
SERVER: Final = "postgresql://shop@localhost/sagas"
ELSEWHERE: Final = {"docs/howto/crash-testing.md": "tests/integration/crash/test_howto.py"}
INSTALLS: Final = "pip install"
LANGUAGES: Final = RUN | {"", "text", "json", "mermaid", "toml", "markdown"}

MARIA: Final = """\
❗ begin saga

✔ book plane ticket
✔ book hotel room
✔ buy tourist tickets

❗ all steps succeeded

✔ end saga (success)"""
KEVIN: Final = """\
❗ begin saga

✔ book plane ticket
❌ book hotel room (no available hotel rooms)
✔ buy tourist tickets

❗ step failed: reverting

✔ cancel plane ticket booking
✔ cancel tourist ticket reservations

❌ end saga (no available hotel rooms)"""


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


PAGES = {named(page): page.read_text(encoding="utf-8") for page in pages()}
RUNNING = [
    name
    for name, text in PAGES.items()
    if name not in ELSEWHERE and any(it.is_run and not it.text.startswith(INSTALLS) for it in blocks(text))
]


def run(name: str, text: str, folder: Path, server: str) -> list[tuple[str, str]]:
    """Run a page's blocks in ``folder``; return what it shows and what was printed, block by block."""
    asked = [it for it in blocks(text) if it.is_run and not it.text.startswith(INSTALLS)]
    plan = [
        {
            "name": f"{name}:{it.line}",
            "language": it.language,
            "text": it.text.replace(SERVER, server),
            "file": it.file,
        }
        for it in asked
    ]
    (folder / ".plan.json").write_text(json.dumps(plan), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_ES_", "PYTHON"))}
    env |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}", "PYTHONUTF8": "1"}
    runner = Path(__file__).with_name("runner.py")
    command = [sys.executable, "-W", "error", str(runner), ".plan.json", ".told.json"]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / ".told.json").read_text(encoding="utf-8"))
    for answer in told:
        assert answer["error"] is None, f"{answer['name']}\n{answer['error']}"
    return [
        (f"{answer['name']}\n{timeless(block.output)}", f"{answer['name']}\n{timeless(answer['printed'])}")
        for block, answer in zip(asked, told, strict=True)
    ]


@pytest.mark.promise("seed.documentation")
@pytest.mark.parametrize("name", RUNNING)
def test_a_page_does_what_it_says(name, tmp_path, request):
    text = PAGES[name]
    server = request.getfixturevalue("postgres_url") if SERVER in text else SERVER
    for shown, printed in run(name, text, tmp_path, server):
        assert printed == shown


@pytest.mark.promise("seed.trace.maria", "seed.trace.kevin")
def test_the_first_command_prints_both_traces():
    first = blocks(PAGES["README.md"])[0]
    assert first.text == "pip install -e . && python -m examples.trip\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.trip"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = (MARIA, "booked for Maria: flight, hotel, tickets", KEVIN, "booked for Kevin: nothing")
    assert done.stdout == "".join(f"{part}\n\n" for part in parts)


def test_the_second_command_stands_below_its_mark():
    command = "```sh\npip install -e '.[dev]' && pytest\n```\n"
    assert f"<!-- test command -->\n{command}" in PAGES["README.md"]


@pytest.mark.parametrize("name", PAGES)
def test_what_is_not_run_says_why(name):
    for block in blocks(PAGES[name]):
        assert block.language in LANGUAGES, f"{name}:{block.line} is in {block.language}"
        if block.not_run is not None:
            assert block.language in RUN, f"{name}:{block.line} would not be run anyway"
            assert len(block.not_run.split()) > 1, f"{name}:{block.line} gives no reason"


@pytest.mark.parametrize(("name", "test"), ELSEWHERE.items())
def test_a_page_that_is_run_elsewhere_is(name, test):
    assert Path(name).name in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    for link in links(PAGES[name]):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), f"{name} links to {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name} links to {link}"


def test_every_page_is_linked_from_another_or_the_readme():
    linked = {
        ((ROOT / name).parent / link.partition("#")[0]).resolve()
        for name, text in PAGES.items()
        for link in links(text)
        if not re.match(r"https?://|#", link)
    }
    assert [name for name in PAGES if name != "README.md" and (ROOT / name).resolve() not in linked] == []
