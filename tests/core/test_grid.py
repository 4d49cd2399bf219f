import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.grid import grid_of


def test_the_figure_is_the_one_that_codecarbon_computes_with() -> None:
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    for country in ("USA", "FRA", "DEU", "IND", "NOR"):
        theirs = Emissions(DataSource()).get_country_emissions(Energy.from_energy(kWh=2.0), GeoMetadata(country))
        assert grid_of(country).emissions_kg(2.0) == pytest.approx(theirs)


def test_its_source_says_which_file_and_year() -> None:
    grid = grid_of("FRA")
    assert grid.source.startswith("codecarbon 3.")
    assert grid.source.endswith("global_energy_mix.json, 2023")
    assert grid.plain() == {"country": "FRA", "grid_g_per_kwh": grid.g_per_kwh, "grid_source": grid.source}


def test_a_given_figure_comes_first_also_where_none_is_known() -> None:
    assert grid_of("XXX", 12.5).plain() == {
        "country": "XXX",
        "grid_g_per_kwh": 12.5,
        "grid_source": "run.grid_g_per_kwh",
    }
    with pytest.raises(
        ConfigError, match=r"^run\.country=XXX: codecarbon has no figures .* or set run\.grid_g_per_kwh"
    ):
        grid_of("XXX")
