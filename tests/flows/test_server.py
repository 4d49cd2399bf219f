"""Prefect's server, named or temporary, that is not there, goes away, or would outlive the run."""

import http.server
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.server import APP, MARK, end_temporary
from pipeline.core.errors import ConfigError
from tests.conftest import BIN
from tests.flows.conftest import Shop
from tests.processes import below, free_port, is_alive, is_called, kill_tree, until, wait_for_end


def env_with(url: str | None) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return plain | ({"PREFECT_API_URL": url, "PREFECT_CLIENT_MAX_RETRIES": "0"} if url else {})


def fails(shop: Shop, url: str) -> tuple[int, str]:
    """Run the command, which ends with one sentence; returns its exit code and the sentence."""
    command: list[str | Path] = [BIN / "pretrace", "run", shop.config]
    done = subprocess.run(command, env=env_with(url), capture_output=True, text=True, check=False)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    sentence = done.stderr.rstrip()
    return done.returncode, sentence


def test_a_server_that_does_not_answer_is_one_sentence(shop: Shop) -> None:
    place = f"127.0.0.1:{free_port()}/api"
    code, sentence = fails(shop, f"http://me:secret@{place}")
    assert code == ConfigError.exit_code
    assert sentence.startswith(f"pretrace: PREFECT_API_URL=http://{place}: does not answer (")
    assert sentence.endswith("start it, or unset the variable: the run then has a temporary server")
    assert "Connection refused" in sentence
    assert "secret" not in sentence


class HangsUp(http.server.BaseHTTPRequestHandler):
    """Says its version, as Prefect's server does, and then nothing more."""

    def do_GET(self) -> None:
        if not self.path.endswith("/version"):
            return
        said = json.dumps(importlib.metadata.version("prefect")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def goes_away() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), HangsUp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_a_server_that_goes_away_is_one_sentence(shop: Shop, goes_away: str) -> None:
    code, sentence = fails(shop, goes_away)
    assert code == ConfigError.exit_code
    assert sentence.startswith(f"pretrace: PREFECT_API_URL={goes_away}: went away, what is made is kept (")


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that look like temporary servers, of two drivers."""
    command = [sys.executable, "-c", "import time; time.sleep(600)", APP]
    started = [subprocess.Popen(command, env={**os.environ, MARK: driver}) for driver in ("test-1", "test-2")]
    yield started
    for process in started:
        kill_tree(process)


def test_only_the_temporary_server_of_the_driver_that_is_gone_is_ended(servers: list[subprocess.Popen[bytes]]) -> None:
    until(lambda: all(is_called(psutil.Process(server.pid), APP) for server in servers), "both processes")
    end_temporary("test-1")
    assert not is_alive(servers[0].pid)
    assert servers[1].poll() is None


@pytest.mark.slow
def test_no_temporary_server_outlives_a_killed_run(shop: Shop, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen([BIN / "pretrace", "run", shop.config], env=env_with(None), stdout=log, stderr=log)
    try:
        until(lambda: below(run.pid, APP), "the server")
        family = below(run.pid)
        run.kill()
        wait_for_end(family)
    finally:
        kill_tree(run)
