"""What an artifact cost: energy, emissions and time of every attempt, the failed and killed ones included.

codecarbon measures this host (where the processor has no energy counters it models: 4 W a thread times load, 20 W of
memory). Its figures are written to the draft every few seconds, so that a killed attempt still counts.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.core.errors import ConfigError
from pipeline.core.files import read_json, write_json

MEASURE_SECONDS = 5
FIGURES = ("energy_kwh", "emissions_kg", "duration_s")


class Meter:
    """Measures one attempt; the attempts before it are found in the same folder.

    Raises: ConfigError if codecarbon knows no such country.
    """

    def __init__(self, attempts: Path, country: str) -> None:
        self._attempts = attempts
        self._country = country
        self._tracker: Any = None

    def __enter__(self) -> Self:
        self._attempts.mkdir(parents=True, exist_ok=True)
        number = len(list(self._attempts.glob("*.json")))
        note = self._attempts / f"{number:04}.json"
        write_json(note, dict.fromkeys(FIGURES, 0.0))  # an attempt counts from its first moment
        self._tracker = _tracker(note, self._country)
        self._tracker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the measurement of this attempt; harmless when it has ended."""
        if self._tracker:
            self._tracker.stop()
            self._tracker = None

    def total(self) -> dict[str, float]:
        """Sum all attempts: `energy_kwh`, `emissions_kg`, `duration_s`, `attempts`."""
        notes = [read_json(path) for path in sorted(self._attempts.glob("*.json"))]
        sums = {name: sum(float(note[name]) for note in notes) for name in FIGURES}
        return {**sums, "attempts": len(notes)}


def _tracker(note: Path, country: str) -> Any:
    os.environ.setdefault("CODECARBON_LOG_LEVEL", "error")
    from codecarbon import OfflineEmissionsTracker
    from codecarbon.output_methods.base_output import BaseOutput

    class ToDraft(BaseOutput):
        """Writes the sums of this attempt into the draft at every measurement."""

        def out(self, total: Any, delta: Any) -> None:
            figures = {
                "energy_kwh": total.energy_consumed,
                "emissions_kg": total.emissions,
                "duration_s": total.duration,
            }
            write_json(note, figures)

        live_out = out

    _refuse_unknown(country)
    return OfflineEmissionsTracker(
        country_iso_code=country,
        measure_power_secs=MEASURE_SECONDS,
        api_call_interval=1,
        output_methods=[],
        output_handlers=[ToDraft()],
        allow_multiple_runs=True,  # otherwise it replaces the handlers of SIGTERM and SIGINT
        log_level="critical",
    )


def _refuse_unknown(country: str) -> None:
    from codecarbon.input import DataSource

    if country not in DataSource().get_global_energy_mix_data():
        raise ConfigError(
            f"run.country={country}: codecarbon has no figures for it; give an ISO code of three letters, e.g. FRA"
        )
