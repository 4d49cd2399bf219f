"""Who is told to stop, and how."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.training import stopping
from pipeline.training.order import Order
from pipeline.training.stopping import Stop


@pytest.fixture
def there(order: Order, tmp_path: Path) -> Order:
    return replace(order, work=str(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_wish_and_its_handler_is_put_back(number: signal.Signals, there: Order) -> None:
    before = signal.getsignal(number)
    with Stop(there) as stop:
        assert not stop.wished()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # schedulers and launchers both send it
        assert stop.wished()
    assert signal.getsignal(number) is before


def test_one_more_signal_after_a_while_means_now(there: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "REPEATED_SECONDS", 0.0)
    with Stop(there):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_file_is_a_wish_until_it_is_obeyed(there: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "LOOK_SECONDS", 0.0)
    stop = Stop(there)
    assert not stop.wished()
    (Path(there.work) / "stop").touch()
    assert stop.wished()
    stop.obeyed()
    assert not Stop(there).wished()
