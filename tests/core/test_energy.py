from pathlib import Path

import pytest

from pipeline.core.energy import Meter
from pipeline.core.errors import ConfigError
from pipeline.core.files import write_json


def test_every_attempt_counts_also_one_that_was_killed(tmp_path: Path) -> None:
    write_json(
        tmp_path / "0000.json", {"energy_kwh": 1.0, "emissions_kg": 0.1, "duration_s": 10.0}
    )  # left by a killed one
    with Meter(tmp_path, "FRA") as meter:
        pass
    total = meter.total()
    assert total["attempts"] == 2
    assert total["energy_kwh"] > 1.0
    assert total["duration_s"] > 10.0


def test_a_country_without_figures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.country=XXX: codecarbon has no figures"), Meter(tmp_path, "XXX"):
        pass
