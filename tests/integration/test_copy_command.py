from __future__ import annotations

import asyncio
import json

import pytest

from saga_es import SagaClient
from saga_es.errors import InvalidInput, StoreInUse, StoreSchemaError
from saga_es.store.address import open_store
from saga_es.store.application import PLANS
from saga_es.store.copying import Copied, both_held, copy_store
from tests.support.pairs import fill, log_of, run
from tests.support.stores import PLAN, history


@pytest.mark.promise("cli.copy", "cli.json")
def test_the_command_says_what_it_came_to(pair):
    fill(pair.source)
    arguments = ("copy", "--from", pair.source_url, "--to", pair.target_url, "--migrate")
    first = run(*arguments)
    target = pair.target.url
    assert first.exit_code == 0, first.output
    assert first.stdout == f"3 sagas (2 unfinished), 18 events are in {target}.\n"
    assert first.stderr == ""
    assert run(*arguments).stdout == (
        f"3 sagas (2 unfinished), 18 events are in {target} (18 of them were there before).\n"
    )
    assert json.loads(run(*arguments, "--json").stdout) == {
        "from": pair.source.url,
        "to": target,
        "sagas": 3,
        "unfinished": 2,
        "events": 18,
        "were_there": 18,
    }
    listed = [run("--store", url, "list", "--json").stdout for url in (pair.source_url, pair.target_url)]
    assert listed[0] == listed[1]


@pytest.mark.parametrize(("source", "target"), [("memory://", None), (None, "memory://")])
def test_memory_is_refused_before_anything_is_made(tmp_path, source, target):
    file = f"sqlite:///{tmp_path}/new.db"
    result = run("copy", "--from", source or file, "--to", target or file)
    assert result.exit_code == 2
    assert "which no other process sees" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_not_copied_to_itself(two_files, tmp_path):
    fill(two_files.source)
    with pytest.raises(InvalidInput), both_held(two_files.source_url, two_files.source_url):
        pass
    by_another_name = f"sqlite:///{tmp_path}/../{tmp_path.name}/one.db"
    with pytest.raises(StoreInUse), both_held(two_files.source_url, by_another_name):
        pass


def test_a_source_that_is_not_there_is_not_made(two_files, tmp_path):
    result = run("copy", "--from", two_files.source_url, "--to", two_files.target_url)
    assert result.exit_code == 3
    assert list(tmp_path.iterdir()) == []
    assert run("copy", "--from", two_files.source_url).exit_code == 2


def test_postgresql_tables_are_made_when_that_is_asked_for(pair_urls):
    source, target = pair_urls["sqlite"], pair_urls["postgresql"]
    store = open_store(source)
    fill(store)
    store.close()
    with pytest.raises(StoreSchemaError), both_held(source, target):
        pass
    refused = run("copy", "--from", source, "--to", target)
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "no saga_es tables" in refused.stderr
    assert run("copy", "--from", source, "--to", target, "--migrate").exit_code == 0


def test_encrypted_stores_are_copied_without_being_read(two_files, monkeypatch):
    cipher = {"SAGA_ES_CIPHER_TOPIC": "tests.support.toy_cipher:ToyCipher", "SAGA_ES_CIPHER_KEY": "k"}
    for name, value in cipher.items():
        monkeypatch.setenv(name, value)
    fill(two_files.source)
    two_files.target.record_definition(PLAN)
    for name in cipher:
        monkeypatch.delenv(name)
    with both_held(two_files.source_url, two_files.target_url) as (source, target):
        assert copy_store(source, target) == Copied(3, 2, 18, 0)
        assert target.stored("open", after=0, upto=9) == source.stored("open", after=0, upto=9)
        assert len([it for it in log_of(target) if str(it.originator_id).startswith(PLANS)]) == 1
    for name, value in cipher.items():
        monkeypatch.setenv(name, value)
    assert two_files.target.read("open") == history(6)


def test_ctrl_c_leaves_whole_pages_and_says_how_to_go_on(two_files, monkeypatch):
    fill(two_files.source)

    def cut(source, target, *, tell):
        def stop(events: int, _: int, __: int) -> None:
            if events >= 3:
                raise KeyboardInterrupt

        return copy_store(source, target, page=2, tell=stop)

    with monkeypatch.context() as patched:
        patched.setattr("saga_es.cli.copy.copy_store", cut)
        result = run("copy", "--from", two_files.source_url, "--to", two_files.target_url)
    assert result.exit_code == 1
    assert "do it again to go on" in result.stderr
    assert log_of(two_files.target) == log_of(two_files.source)[:4]
    assert run("copy", "--from", two_files.source_url, "--to", two_files.target_url).exit_code == 0
    assert log_of(two_files.target) == log_of(two_files.source)


def test_a_client_reads_what_was_copied(pair):
    fill(pair.source)
    assert run("copy", "--from", pair.source_url, "--to", pair.target_url, "--migrate").exit_code == 0

    async def read() -> list[str]:
        async with SagaClient(pair.target_url) as client:
            return [summary.saga_id for summary in (await client.find(parked=True)).items]

    assert asyncio.run(read()) == ["pärked"]
