"""Figures as people read them: three significant digits and a unit that fits."""

from collections.abc import Sequence

ENERGY = (("MWh", 1e3), ("kWh", 1.0), ("Wh", 1e-3), ("mWh", 1e-6))
MASS = (("t", 1e3), ("kg", 1.0), ("g", 1e-3), ("mg", 1e-6))


def energy(kwh: float) -> str:
    """Write an energy given in kWh: 1.87 Wh."""
    return _scaled(kwh, ENERGY)


def mass(kg: float) -> str:
    """Write a mass given in kg: 0.69 g."""
    return _scaled(kg, MASS)


def number(value: float) -> str:
    """Write a count with its thousands parted, and another number with at most four significant digits."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: 1 file, 2 files."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _scaled(value: float, units: Sequence[tuple[str, float]]) -> str:
    unit, scale = next((found for found in units if abs(value) >= found[1]), units[-1])
    scaled = value / scale
    return f"{scaled:,.0f} {unit}" if scaled >= 100 else f"{scaled:.3g} {unit}"
