"""What a payload can do to whoever looks at it: nothing. No verb lets a control character out to a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import termios
import unicodedata
from contextlib import closing

import pytest
from click.testing import CliRunner

from saga_es import History, Rejected, SagaEngine, define
from saga_es.cli import main
from saga_es.store.address import open_store
from tests.integration.engine.world import SOON, drive
from tests.support.stores import history, put

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
C1 = "".join(map(chr, range(0x80, 0xA0)))
NASTY = f"a\x1b[2Jb\x7fc{C1}d{BIDI}e\u2028f\u2029g\r\nh\tüñ❗"
"""Clears the screen in two ways, deletes, turns the reading direction, breaks lines; and some honest letters."""

HONEST = "üñ❗"


def obeyed(text: str) -> set[str]:
    """Return what of a text a terminal would obey, or what turns the reading direction; line feeds aside."""
    return {
        char
        for char in text
        if (unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char != "\n")
        or unicodedata.bidirectional(char) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }


async def one(customer: str) -> dict[str, str]:
    return {customer: customer}


async def no(customer: str, one: dict[str, str]) -> int:
    raise Rejected(NASTY)


PLAN = (
    define("nasty", str)
    .step(one, title=f"title {NASTY}")
    .signal("word", str)
    .step(no, needs=(one,))
)  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    made = f"sqlite:///{tmp_path_factory.mktemp('nasty') / 'sagas.db'}"

    async def make() -> None:
        async with SagaEngine(made, sagas=[PLAN]) as engine:
            await engine.run(PLAN, NASTY, saga_id="ended", timeout=SOON)

    drive(make())
    store = open_store(made)
    with closing(store):
        put(store, "parked", history(1), parked=NASTY)
    return made


def environ() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    return {**kept, "LC_ALL": "C.UTF-8", "TERM": "xterm"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "saga_es.cli", *arguments]


def to_a_pipe(*arguments: str) -> bytes:
    done = subprocess.run(command(*arguments), env=environ(), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def to_a_terminal(*arguments: str) -> str:
    """Return what a terminal would have got, its own carriage returns aside."""
    screen, line = os.openpty()
    modes = termios.tcgetattr(line)
    modes[1] &= ~termios.OPOST  # the line passes on what it gets, as it is
    termios.tcsetattr(line, termios.TCSANOW, modes)
    said = b""
    with subprocess.Popen(command(*arguments), env=environ(), stdout=line, stderr=subprocess.PIPE) as child:
        os.close(line)
        while True:
            try:
                chunk = os.read(screen, 65536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            said += chunk
        assert child.stderr is not None
        assert child.stderr.read() == b""
    os.close(screen)
    assert child.returncode == 0
    return said.decode()


# -- JSON ----------------------------------------------------------------------------------------------

VERBS = [
    ("list", "--json"),
    ("show", "ended", "--json"),
    ("events", "ended", "--json"),
    ("export", "ended"),
    ("export", "ended", "--json"),
]


@pytest.mark.promise("cli.json", "cli.export")
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_json_to_a_terminal_has_nothing_in_it_that_a_terminal_obeys(url, verb):
    said = to_a_terminal("--store", url, *verb)
    assert obeyed(said) == set()
    assert HONEST in said or verb[0] == "list"
    assert json.loads(said) == json.loads(to_a_pipe("--store", url, *verb))


@pytest.mark.promise("cli.json")
@pytest.mark.parametrize("verb", VERBS[:3], ids=" ".join)
def test_nor_has_what_programs_read_which_may_print_it(url, verb):
    assert obeyed(to_a_pipe("--store", url, *verb).decode()) == set()


@pytest.mark.promise("cli.json", "cli.list", "cli.show", "cli.events")
def test_json_says_the_same_values_all_the_same(url):
    def read(*verb: str):
        return json.loads(to_a_terminal("--store", url, *verb, "--json"))

    assert {it["saga_id"]: it["parked"] for it in read("list")["items"]} == {"ended": None, "parked": NASTY}
    shown = read("show", "ended")
    assert shown["steps"][0]["title"] == f"title {NASTY}"
    assert shown["steps"][0]["result"] == {NASTY: NASTY}
    assert shown["cause"]["message"] == NASTY
    started = read("events", "ended")[0]
    assert started["data"]["input"] == NASTY


@pytest.mark.promise("cli.export")
def test_an_export_to_a_pipe_is_the_history_byte_for_byte(url):
    store = open_store(url)
    with closing(store):
        events = store.read("ended")
        plan = store.definition(events[0].event.digest)
        text = History.of("ended", plan, events).to_json()
    assert obeyed(text)  # or the test would not see the difference
    exported = to_a_pipe("--store", url, "export", "ended")
    assert exported == text.encode()
    assert History.from_json(exported.decode()).to_json() == text


@pytest.mark.promise("cli.export")
def test_an_export_to_a_terminal_is_the_same_history(url):
    said = to_a_terminal("--store", url, "export", "ended")
    assert said.endswith("}\n")
    exported = to_a_pipe("--store", url, "export", "ended").decode()
    assert History.from_json(said).to_json() == exported


# -- text ----------------------------------------------------------------------------------------------

COLOURS = {"\x1b"}


@pytest.mark.promise("cli.list", "cli.show", "cli.events")
@pytest.mark.parametrize("verb", [("list",), ("show", "ended"), ("events", "ended")], ids=" ".join)
def test_text_for_people_has_none_of_it_either(url, verb):
    assert obeyed(to_a_pipe("--store", url, *verb).decode()) == set()
    said = to_a_terminal("--store", url, *verb)
    assert obeyed(said) <= COLOURS
    assert "\x1b[2J" not in said


# -- addresses -----------------------------------------------------------------------------------------


@pytest.mark.promise("cli.exit-codes", "cli.store")
@pytest.mark.parametrize("where", ["option", "environment"])
@pytest.mark.parametrize("verb", [("list",), ("export", "x"), ("migrate",)], ids=" ".join)
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:geheim@[::1/x",
        "postgresql://u:geheim/er@127.0.0.1:1/x",
        "postgresql://u:geheim@127.0.0.1:port/x",
    ],
)
def test_an_address_that_is_none_is_wrong_usage_and_shows_no_password(address, verb, where):
    named, env = ("--store", address), {"SAGA_ES_STORE": None}
    if where == "environment":
        named, env = (), {"SAGA_ES_STORE": address}
    result = CliRunner().invoke(main, [*named, *verb], env=env)
    assert (result.exit_code, result.stdout) == (2, "")
    assert isinstance(result.exception, SystemExit)  # said in words, not by a traceback
    assert "geheim" not in result.stderr
    assert "Usage: " in result.stderr


@pytest.mark.promise("cli.exit-codes")
def test_nor_does_the_process():
    done = subprocess.run(
        command("--store", "postgresql://u:geheim@[::1/x", "list"),
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "geheim" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.promise("cli.exit-codes")
def test_a_database_out_of_reach_shows_no_password_either():
    address = "postgresql://u:geheim@127.0.0.1:1/x"
    done = subprocess.run(
        command("--store", address, "list"),
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "geheim" not in done.stderr
    assert "Traceback" not in done.stderr
