"""What an artifact cost: energy, emissions and time of every attempt, the failed and killed ones included.

codecarbon measures a whole machine: with counters (RAPL, NVML) where it has some, else by the processor's rated power.
Whoever holds the machine's lock in the folder of attempts measures it, so that each is measured once, whatever runs
there; the figures go into that folder every few seconds, so that a killed attempt counts.

attempts/0002.json               the third attempt, on the machine that drives it
attempts/0002.1f0c9a77-0.json    what another machine spent in it; a number more when ranks were started again
attempts/1f0c9a77.lock           held by flock by the process that measures that machine
"""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from pipeline.core.files import read_json, write_json
from pipeline.core.grid import Grid, grid_of
from pipeline.core.locks import open_locked

T = TypeVar("T")
Given = ParamSpec("Given")

MEASURE_SECONDS = 5
LOOK_SECONDS = 1.0
"""Between looks whether the process that measured this machine has ended."""
FIGURES = ("energy_kwh", "emissions_kg", "duration_s")
BOOT = Path("/proc/sys/kernel/random/boot_id")
COUNTERS = {"intel_rapl": "RAPL", "windows_emi": "EMI", "intel_power_gadget": "Power Gadget"}


class Meter:
    """Measures one attempt; the attempts before it are found in the same folder.

    Raises: ConfigError if codecarbon knows no such country.
    """

    def __init__(self, attempts: Path, country: str, grid_g_per_kwh: float | None = None) -> None:
        self._attempts = attempts
        self._grid = grid_of(country, grid_g_per_kwh)
        self._note: _Note | None = None
        self._machine: MachineMeter | None = None

    def __enter__(self) -> Self:
        self._attempts.mkdir(parents=True, exist_ok=True)
        self._note = _Note(self._attempts / f"{len(_drivers(self._attempts)):04}.json", self._grid)
        self._note.write(0.0)  # an attempt counts from its first moment
        self._machine = MachineMeter(self._attempts, self._note).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the measurement of this attempt; harmless when it has ended."""
        if self._machine and self._note:
            self._machine.stop()
            self._note.write(self._note.energy_kwh)  # its time counts, whoever measured the machine
            self._machine = None

    def total(self) -> dict[str, Any]:
        """Sum all attempts: `energy_kwh`, `emissions_kg`, `duration_s`, `attempts`; this one's figures as `attempt_...`.

        With how it was measured, on which hosts, and what the electricity is taken to emit.
        """
        notes = _notes(self._attempts)
        last = {name: note for name, note in notes.items() if name.startswith(max(_drivers(self._attempts)))}
        methods = dict.fromkeys(note["method"] for note in notes.values() if note.get("method"))
        return {
            **_sum(notes),
            "attempts": len(_drivers(self._attempts)),
            **{f"attempt_{name}": value for name, value in _sum(last).items()},
            "energy_method": "; ".join(methods) or "not measured",
            "energy_hosts": sorted({note["host"] for note in notes.values() if "host" in note}),
            **self._grid.plain(),
        }


class MachineMeter:
    """Measures this machine for the attempt that runs, unless another process here does; then as soon as that one ends.

    For every process that works on a stage, on whatever machine: where nobody has begun an attempt, it measures nothing.
    """

    def __init__(self, attempts: Path, note: "_Note | None" = None) -> None:
        """`note` is where the figures go: a file of its own beside the attempt's unless given."""
        self._attempts, self._note = attempts, note
        self._over = threading.Event()
        self._waiting = threading.Thread(target=self._wait_for_turn, name="meter", daemon=True)
        self._lock: int | None = None
        self._tracker: Any = None

    def __enter__(self) -> Self:
        if _drivers(self._attempts) and not self._begin():
            self._waiting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the measurement; harmless when it has ended."""
        self._over.set()
        if self._waiting.is_alive():
            self._waiting.join()
        if self._tracker and self._note:
            self._tracker.stop()
            self._note.write(self._tracker._total_energy.kWh)
        if self._lock is not None:
            os.close(self._lock)
        self._tracker = self._lock = None

    def _wait_for_turn(self) -> None:
        while not self._over.wait(LOOK_SECONDS) and not self._begin():
            pass

    def _begin(self) -> bool:
        """Measure if nobody here does."""
        self._lock = _claim(self._attempts)
        if self._lock is None:
            return False
        self._note = self._note or _Note(_own_note(self._attempts), _grid_of_attempt(self._attempts))
        self._note.may_fail = True
        self._tracker = _tracker(self._note)
        self._tracker.start()
        self._note.method = method_of(self._tracker._hardware)
        return True


class _Note:
    """Where the figures of one machine in one attempt go."""

    def __init__(self, path: Path, grid: Grid) -> None:
        self.method, self.energy_kwh = "", 0.0
        self.may_fail = False
        self._path, self._grid = path, grid
        self._turn = threading.Lock()  # codecarbon writes from a thread of its own, beside ours
        self._began = time.monotonic()

    def write(self, energy_kwh: float) -> None:
        """Write the sums until now.

        Raises: OSError if the disk is full or fails, unless it may: whoever works there tells of it, too.
        """
        figures = {
            "energy_kwh": energy_kwh,
            "emissions_kg": self._grid.emissions_kg(energy_kwh),
            "duration_s": time.monotonic() - self._began,
        }
        about = {"host": socket.gethostname(), "method": self.method, **self._grid.plain()}
        with self._turn, suppress(*[OSError] if self.may_fail else []):
            self.energy_kwh = energy_kwh
            write_json(self._path, {**figures, **about})


def measured(work: Callable[Given, T], attempts: Path) -> Callable[Given, T]:
    """Have a function measure the machine that it is called on, where nobody does; what calls it may be elsewhere."""

    @wraps(work)
    def measuring(*arguments: Given.args, **named: Given.kwargs) -> T:
        with MachineMeter(attempts):
            return work(*arguments, **named)

    return measuring


def spent(attempts: Path) -> dict[str, float]:
    """Sum what a folder of attempts tells, of the running one too: `energy_kwh`, `emissions_kg`, `duration_s`."""
    return _sum(_notes(attempts))


def certainty(made: Mapping[str, Any]) -> str:
    """Say how far to trust an artifact's energy: measured, `partly estimated` (GPUs measured), or `estimated`."""
    method = str(made.get("energy_method", ""))
    if "estimated" not in method:
        return "measured"
    return "estimated" if method.startswith("estimated") else "partly estimated"


def method_of(hardware: Sequence[Any]) -> str:
    """Name what codecarbon reads from its list of parts; it models memory everywhere."""
    parts = {type(part).__name__: part for part in hardware}
    processor, memory = parts.get("CPU"), parts.get("RAM")
    counters = [COUNTERS[processor._mode]] if processor and processor._mode in COUNTERS else []
    counters += [name for kind, name in (("GPU", "NVML"), ("AppleSiliconChip", "powermetrics")) if kind in parts]
    rated = [] if processor is None or processor._mode in COUNTERS else [f"processor {processor._tdp:g} W by load"]
    modelled = [f"memory {memory.total_power().W:g} W"] if memory else []
    if not counters:
        return f"estimated from rated power: {', '.join(rated + modelled)}" if rated else ""
    told = [" and ".join(counters), *(f"estimated from rated power: {part}" for part in rated)]
    return ", ".join([*told, *(f"modelled: {part}" for part in modelled)])


def _notes(attempts: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: read_json(path) for path in sorted(attempts.glob("[0-9]*.json"))}


def _drivers(attempts: Path) -> list[str]:
    """List the attempts: 0000, 0001, ..."""
    return sorted(path.stem for path in attempts.glob("[0-9]*.json") if path.stem.isdigit())


def _sum(notes: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Add up energy and emissions of all machines; time is the driver's."""
    spent_in = {name: sum(float(note[name]) for note in notes.values()) for name in FIGURES[:2]}
    return {**spent_in, "duration_s": sum(float(note["duration_s"]) for name, note in notes.items() if name.isdigit())}


def _grid_of_attempt(attempts: Path) -> Grid:
    """Give the electricity that the attempt's driver was told of; all hosts of a run are taken to use the same."""
    note = read_json(attempts / f"{max(_drivers(attempts))}.json")
    return Grid(note["country"], note["grid_g_per_kwh"], note["grid_source"])


def _own_note(attempts: Path) -> Path:
    begins = f"{max(_drivers(attempts))}.{_machine()}"
    return attempts / f"{begins}-{len(list(attempts.glob(f'{begins}-*.json')))}.json"


def _machine() -> str:
    """Name this machine; containers of one have different host names and share it."""
    told = BOOT.read_text(encoding="utf-8") if BOOT.exists() else socket.gethostname()
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _claim(attempts: Path) -> int | None:
    """Take the machine's lock, which kill -9 frees; None where another process holds it, or the draft is gone."""
    return open_locked(attempts / f"{_machine()}.lock", os.O_CREAT | os.O_RDWR)


def _tracker(note: _Note) -> Any:
    os.environ.setdefault("CODECARBON_LOG_LEVEL", "error")
    from codecarbon import OfflineEmissionsTracker
    from codecarbon.output_methods.base_output import BaseOutput

    class ToNote(BaseOutput):
        """Writes the sums of this attempt at every measurement."""

        def out(self, total: Any, delta: Any) -> None:
            note.write(total.energy_consumed)

        live_out = out

    return OfflineEmissionsTracker(
        country_iso_code="USA",  # it wants one; what electricity emits is ours to say
        measure_power_secs=MEASURE_SECONDS,
        api_call_interval=1,
        output_methods=[],
        output_handlers=[ToNote()],
        emissions_endpoint=None,  # nothing calls out, whatever a .codecarbon.config says
        electricitymaps_api_token=None,
        pue=1.0,
        allow_multiple_runs=True,  # otherwise it replaces the handlers of SIGTERM and SIGINT
        log_level="critical",
    )
