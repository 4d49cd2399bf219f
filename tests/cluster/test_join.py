"""A cluster that is already there: its head runs here, drivers join it from processes of their own."""

import http.server
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.embedded import ROOT, START_ATTEMPTS
from cluster.join import TOKEN_FILE, join, make_token
from pipeline.core.compute import in_turn
from pipeline.core.errors import ComputeError
from tests.cluster.entries import Item, square
from tests.cluster.hosts import PATIENT_RAY
from tests.processes import PATIENCE_SECONDS, free_port, kill_tree


@dataclass(frozen=True)
class Head:
    address: str
    token: str

    def driver(self, folder: Path, token: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.cluster.driver", self.address, "1", "none", str(folder)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_TOKEN": token or self.token}
        env.pop("RAY_AUTH_MODE", None)
        if token:
            env["RAY_NUM_REDIS_GET_RETRIES"] = "3"  # Ray asks 20 times, a second apart, whether it still is refused
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    token = secrets.token_hex(32)
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(prefix="pretrace-head-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        for _ in range(START_ATTEMPTS):
            port = free_port()
            command = start_command(port, folder)
            with subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as ray:
                try:
                    assert ray.stdout
                    if any("Ray runtime started" in line for line in ray.stdout):
                        yield Head(f"127.0.0.1:{port}", token)
                        return
                finally:
                    kill_tree(ray)
    raise RuntimeError("the head did not start")


def start_command(port: int, folder: str) -> list[str]:
    """Start a head of its own, on ports that nobody uses."""
    where = [f"--port={port}", f"--ray-client-server-port={free_port()}"]
    others = ["--dashboard-agent-listen-port=0", "--min-worker-port=0", "--max-worker-port=0"]
    small = ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000", f"--temp-dir={folder}"]
    return [*PATIENT_RAY, "start", "--head", "--block", *where, *others, *small]


@pytest.mark.slow
def test_a_cluster_makes_the_same_pieces_with_one_worker(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    joined = head.driver(tmp_path)
    assert joined.returncode == 0, joined.stderr
    items = [Item(number, tmp_path / "notes") for number in range(4)]
    alone = in_turn(square, items, [tmp_path / "alone" / str(item.number) for item in items], lambda done: None)
    assert json.loads(joined.stdout) == [dict(piece.files) for piece in alone]
    assert json.loads((tmp_path / "0.json").read_text())["total"] == 1
    assert list(tmp_path.glob("state/*")) == []


@pytest.mark.slow
def test_a_cluster_with_another_token_is_not_joined(head: Head, tmp_path: Path) -> None:
    refused = head.driver(tmp_path, "0" * 64)
    assert (
        f"ComputeError: run.ray_address={head.address}: the cluster does not take this host's token" in refused.stderr
    )
    assert refused.returncode == 1


def test_an_address_without_a_cluster_says_so(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    refused = Head(address, "").driver(tmp_path)
    assert f"ComputeError: run.ray_address={address}: no Ray answers there" in refused.stderr


def test_an_address_where_something_else_answers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(ComputeError, match=r"run\.ray_address=.*: no Ray answers there \(something else does\)"):
            join(f"127.0.0.1:{other.server_port}", {})
        other.shutdown()
    monkeypatch.setattr("cluster.join.KNOCK_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ComputeError, match=rf"run\.ray_address={address}: no Ray answers there \(timed out\)"):
            join(address, {})


def test_a_token_is_made_once_and_is_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    make_token()
    token = (tmp_path / TOKEN_FILE).read_text()
    make_token()
    assert (tmp_path / TOKEN_FILE).read_text() == token
    assert len(token) == 64
    assert (tmp_path / TOKEN_FILE).stat().st_mode & 0o777 == 0o600
    assert len(list((tmp_path / TOKEN_FILE).parent.iterdir())) == 1
