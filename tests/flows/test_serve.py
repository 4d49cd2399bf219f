"""What `pretrace up` does before it starts anything, and how it shows what it started."""

import fcntl
import os
import socket
import time
from pathlib import Path

import pytest
from rich.console import Console

from cluster.services import Kept, Service, Stage
from flows.databases import MLFLOW_URL, PREFECT_PATH, PREFECT_URL, Databases
from flows.running import QUIET
from flows.serve import STORE, Lines, Place, _environment, _table
from tests.flows.conftest import Command
from tests.processes import free_port


def kept(name: str, stage: Stage, where: str = "") -> Kept:
    return Kept(Service(name, (), {}, Path("log"), lambda: True, where=where), stage)


def test_a_port_that_is_taken_is_refused_by_name_and_number(pretrace: Command, tmp_path: Path) -> None:
    with socket.socket() as taken:
        port = free_port(neighbours=1) + 1
        taken.bind(("127.0.0.1", port))
        taken.listen()
        said = pretrace("up", "--store", tmp_path / "store", "--port-base", port - 1)
    assert said.code == 2
    assert f"--port-base: port {port} for the MLflow server is in use by " in said.err
    assert not (tmp_path / "store" / "logs").exists()


def test_a_store_that_has_a_control_room_is_refused(pretrace: Command, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with (tmp_path / "store" / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        said = pretrace("up", "--store", tmp_path / "store", "--port-base", free_port())
    assert said.code == 2
    assert said.err.endswith("store: has a control room already, process 4711; end that one or name another store\n")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://me:secret@db/room", "--postgres mysql://db/room: names no database; write postgresql://USER"),
        ("postgresql://me:secret@db", "--postgres postgresql://db: names no database; write postgresql://USER"),
        (
            "postgresql://me:secret@127.0.0.1:{port}/room",
            "--postgres postgresql://127.0.0.1:{port}/room: does not answer (",
        ),
    ],
)
def test_a_database_that_does_not_answer_is_named_without_its_password(
    url: str, sentence: str, pretrace: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.databases.find_spec", lambda name: name)
    port = free_port()
    said = pretrace(
        "up", "--store", tmp_path / "store", "--port-base", free_port(neighbours=2), "--postgres", url.format(port=port)
    )
    assert said.code == 2
    assert sentence.format(port=port) in said.err
    assert "secret" not in said.err + said.out


def test_a_missing_driver_is_named(tmp_path: Path, pretrace: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.databases.find_spec", lambda name: None)
    url = "postgresql://me@127.0.0.1/room"
    said = pretrace("up", "--store", tmp_path / "store", "--port-base", free_port(neighbours=2), "--postgres", url)
    assert (said.code, said.err) == (2, "pretrace: --postgres: MLflow needs a driver; pip install psycopg2-binary\n")


def test_both_servers_use_one_database_each_in_its_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr("flows.databases._make_schemas", made.append)
    monkeypatch.setattr("flows.databases.find_spec", lambda name: name == "psycopg")
    found = Databases.of(tmp_path, "postgres://me:secret@db:5433/room?sslmode=require")
    assert made == ["postgresql://me:secret@db:5433/room?sslmode=require"]
    assert found.prefect[PREFECT_URL] == "postgresql+asyncpg://me:secret@db:5433/room?ssl=require"
    assert found.prefect[PREFECT_PATH] == "prefect, public"
    wanted = "postgresql+psycopg://me:secret@db:5433/room?sslmode=require&options=-csearch_path%3Dmlflow"
    assert found.mlflow == {MLFLOW_URL: wanted}
    assert "secret" not in repr(found)


def test_without_postgres_the_servers_use_files_of_the_store(tmp_path: Path) -> None:
    found = Databases.of(tmp_path, None)
    assert found.prefect == {PREFECT_URL: f"sqlite+aiosqlite:///{tmp_path}/prefect/prefect.db"}
    assert found.mlflow == {MLFLOW_URL: f"sqlite:///{tmp_path}/mlflow.db"}


def test_services_see_each_other_and_no_way_to_the_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "of another server")
    monkeypatch.setenv("PREFECT_API_URL", "https://elsewhere/api")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    env = _environment(Place(tmp_path, 4200))
    assert env["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert env["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:4201"
    assert env[STORE] == str(tmp_path)
    assert "PREFECT_API_KEY" not in env
    wanted = {name: os.environ.get(name, value) for name, value in QUIET.items()}  # what a person has set stays
    assert {name: env[name] for name in QUIET} == wanted
    assert wanted["RAY_USAGE_STATS_ENABLED"] == "1"


def test_states_are_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Console(width=120))
    one, two = kept("server", "starting", "http://127.0.0.1:1"), kept("worker", "waiting")
    lines([one, two])
    lines([one, two])
    one.enter("answers")
    lines([one, two])
    assert capsys.readouterr().out.splitlines() == [
        "server: starts",
        "worker: waits for the others",
        "server: answers at http://127.0.0.1:1",
    ]


def test_states_are_a_table_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    one = kept("server", "restarting", "http://127.0.0.1:1")
    one.deaths.append(time.monotonic())
    Console(width=120).print(_table([one, kept("worker", "waiting")]))
    server, worker = capsys.readouterr().out.splitlines()[1:]
    assert server.split() == ["server", "died", "and", "starts", "again", "0", "s", "1", "http://127.0.0.1:1"]
    assert worker.split()[:5] == ["worker", "waits", "for", "the", "others"]
