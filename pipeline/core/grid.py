"""How much CO2 a kilowatt-hour carries: a country's yearly mean from codecarbon's data file, or what the user knows better.

Read without importing codecarbon, which takes a second: `pretrace plan` needs no more than the figure.
"""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.core.files import read_json

FILE = "data/private_infra/global_energy_mix.json"


@dataclass(frozen=True)
class Grid:
    """The electricity that is used."""

    country: str
    """An ISO 3166 code of three letters."""
    g_per_kwh: float
    """g CO2e a kWh."""
    source: str
    """Who says so."""

    def emissions_kg(self, energy_kwh: float) -> float:
        """Give what an amount of energy emits."""
        return energy_kwh * self.g_per_kwh / 1000.0

    def plain(self) -> dict[str, Any]:
        """Give what a manifest tells of it."""
        return {"country": self.country, "grid_g_per_kwh": self.g_per_kwh, "grid_source": self.source}


def grid_of(country: str, g_per_kwh: float | None = None) -> Grid:
    """Find the figure of a country, unless one is given.

    Raises: ConfigError if there is none.
    """
    if g_per_kwh is not None:
        return Grid(country, g_per_kwh, "run.grid_g_per_kwh")
    found = _countries().get(country)
    if found is None:
        raise ConfigError(
            f"run.country={country}: codecarbon has no figures for it; give an ISO code of three letters, e.g. FRA, "
            "or set run.grid_g_per_kwh"
        )
    year = found.get("year", "year unknown")
    return Grid(country, float(found["carbon_intensity"]), f"codecarbon {version('codecarbon')}, {FILE}, {year}")


@cache
def _countries() -> dict[str, Any]:
    package = find_spec("codecarbon")
    assert package is not None
    assert package.origin is not None
    countries: dict[str, Any] = read_json(Path(package.origin).parent / FILE)
    return countries
