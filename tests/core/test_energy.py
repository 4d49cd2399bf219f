import errno
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.core import energy
from pipeline.core.energy import MachineMeter, Meter, certainty, measured, method_of, spent
from pipeline.core.errors import ConfigError
from pipeline.core.files import read_json, write_json
from tests.processes import until

KILLED = {"energy_kwh": 1.0, "emissions_kg": 0.1, "duration_s": 10.0}


def test_every_attempt_counts_also_one_that_was_killed(tmp_path: Path) -> None:
    write_json(tmp_path / "0000.json", KILLED)  # left by a killed one
    with Meter(tmp_path, "FRA") as meter:
        pass
    total = meter.total()
    assert total["attempts"] == 2
    assert total["energy_kwh"] == 1.0 + total["attempt_energy_kwh"] > 1.0
    assert total["duration_s"] == 10.0 + total["attempt_duration_s"] > 10.0
    assert total["emissions_kg"] == 0.1 + total["attempt_emissions_kg"] > 0.1


def test_what_an_attempt_spent_until_it_was_killed_is_journalled(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.core import energy\nenergy.MEASURE_SECONDS = 0.2\n"
        "meter = energy.Meter(Path(sys.argv[1]), 'FRA').__enter__()\nprint('measuring', flush=True)\nsys.stdin.read()"
    )
    attempt = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with attempt:
        assert attempt.stdout is not None
        assert attempt.stdout.readline() == "measuring\n"
        begun = spent(tmp_path)
        until(lambda: spent(tmp_path) != begun, "another entry, which it makes by itself")
        attempt.send_signal(signal.SIGKILL)
    left = spent(tmp_path)
    assert left["energy_kwh"] > 0.0
    with Meter(tmp_path, "FRA") as meter:
        pass
    assert meter.total()["attempts"] == 2
    assert meter.total()["energy_kwh"] - meter.total()["attempt_energy_kwh"] == pytest.approx(left["energy_kwh"])


def test_emissions_are_the_energy_times_the_figure_that_is_named(tmp_path: Path) -> None:
    for given, g_per_kwh, source in ((None, 56.039, "codecarbon "), (100.0, 100.0, "run.grid_g_per_kwh")):
        with Meter(tmp_path / str(given), "FRA", given) as meter:
            pass
        total = meter.total()
        assert total["emissions_kg"] == pytest.approx(total["energy_kwh"] * g_per_kwh / 1000)
        assert (total["country"], total["grid_g_per_kwh"]) == ("FRA", g_per_kwh)
        assert total["grid_source"].startswith(source)
        assert total["energy_method"]
        assert len(total["energy_hosts"]) == 1


def test_a_disk_on_which_no_attempt_can_be_noted_is_an_error_and_one_that_fills_later_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, value: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Meter(tmp_path, "FRA") as meter:
        monkeypatch.setattr(energy, "write_json", full)
    assert meter.total()["attempts"] == 1
    with pytest.raises(OSError, match="No space left"), Meter(tmp_path / "other", "FRA"):
        pass


def test_a_country_without_figures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.country=XXX: codecarbon has no figures"), Meter(tmp_path, "XXX"):
        pass


def test_a_machine_is_measured_once_whatever_works_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Meter(tmp_path, "FRA") as meter:
        with MachineMeter(tmp_path):  # a rank beside the driver
            pass
        assert [path.name for path in tmp_path.glob("*.json")] == ["0000.json"]
        monkeypatch.setattr(energy, "_machine", lambda: "other")
        with MachineMeter(tmp_path), MachineMeter(tmp_path):  # two ranks on another host
            pass
        with MachineMeter(tmp_path):  # started again there
            pass
    names = sorted(path.stem for path in tmp_path.glob("*.json"))
    assert names == ["0000", "0000.other-0", "0000.other-1"]
    notes = [read_json(tmp_path / f"{name}.json") for name in names]
    total = meter.total()
    assert all(note["energy_kwh"] > 0 for note in notes)
    assert total["energy_kwh"] == pytest.approx(sum(note["energy_kwh"] for note in notes))
    assert total["emissions_kg"] == pytest.approx(total["energy_kwh"] * 0.056039)
    assert (total["attempts"], total["duration_s"]) == (1, notes[0]["duration_s"])


def test_who_waits_to_measure_a_machine_does_so_when_the_other_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "0000.json", {**KILLED, "country": "FRA", "grid_g_per_kwh": 56.0, "grid_source": "a test"})
    monkeypatch.setattr(energy, "LOOK_SECONDS", 0.01)
    with MachineMeter(tmp_path) as first, MachineMeter(tmp_path):
        first.stop()
        while len(list(tmp_path.glob("0000.*-*.json"))) < 2:
            pass


def square(number: int) -> int:
    return number * number


def test_work_that_is_sent_to_another_host_measures_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Meter(tmp_path, "FRA"):
        work = measured(square, tmp_path)
        assert (work.__qualname__, work(3)) == ("square", 9)
        assert not list(tmp_path.glob("0000.*-*.json"))
        monkeypatch.setattr(energy, "_machine", lambda: "other")
        assert [work(4), work(5)] == [16, 25]
    assert len(list(tmp_path.glob("0000.other-*.json"))) == 2


def test_a_rank_that_was_started_by_hand_measures_nothing(tmp_path: Path) -> None:
    with MachineMeter(tmp_path / "attempts"):
        pass
    assert list(tmp_path.iterdir()) == []


RAM, RATED, COUNTED, GPU = (
    type("RAM", (), {"total_power": lambda self: SimpleNamespace(W=20.0)})(),
    type("CPU", (), {"_mode": "cpu_load", "_tdp": 8})(),
    type("CPU", (), {"_mode": "intel_rapl", "_tdp": 8})(),
    type("GPU", (), {})(),
)


@pytest.mark.parametrize(
    ("hardware", "method", "how"),
    [
        ([RAM, RATED], "estimated from rated power: processor 8 W by load, memory 20 W", "estimated"),
        ([RAM, COUNTED], "RAPL, modelled: memory 20 W", "measured"),
        ([RAM, COUNTED, GPU], "RAPL and NVML, modelled: memory 20 W", "measured"),
        (
            [RAM, RATED, GPU],
            "NVML, estimated from rated power: processor 8 W by load, modelled: memory 20 W",
            "partly estimated",
        ),
        ([], "", "measured"),
    ],
)
def test_the_method_is_named_after_what_was_read(hardware: list[Any], method: str, how: str) -> None:
    assert method_of(hardware) == method
    assert certainty({"energy_method": method}) == how


def test_the_method_of_this_machine_is_that_of_its_counters(tmp_path: Path) -> None:
    with Meter(tmp_path, "FRA") as meter:
        pass
    counters = any(Path("/sys/class/powercap").glob("intel-rapl:*/energy_uj"))
    assert meter.total()["energy_method"].startswith("RAPL" if counters else ("estimated", "NVML"))
