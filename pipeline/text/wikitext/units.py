"""Units of {{convert}}: what its codes are called, in words and in symbols."""

import re

# code or codes: name in the singular, symbol
ROWS: dict[str, tuple[str, str]] = {
    "km|kilometer|kilometre|kilometers|kilometres": ("kilometre", "km"),
    "m|meter|metre|meters|metres": ("metre", "m"),
    "cm": ("centimetre", "cm"),
    "mm": ("millimetre", "mm"),
    "um|μm|µm": ("micrometre", "μm"),
    "nm": ("nanometre", "nm"),
    "mi|mile|miles|smi": ("mile", "mi"),
    "nmi": ("nautical mile", "nmi"),
    "yd|yard|yards": ("yard", "yd"),
    "ft|foot|feet": ("foot", "ft"),
    "in|inch|inches": ("inch", "in"),
    "fathom": ("fathom", "fathom"),
    "furlong": ("furlong", "furlong"),
    "chain": ("chain", "chain"),
    "ly": ("light-year", "ly"),
    "pc": ("parsec", "pc"),
    "au|AU": ("astronomical unit", "AU"),
    "Gm": ("gigametre", "Gm"),
    "km2|sqkm": ("square kilometre", "km²"),
    "m2|sqm": ("square metre", "m²"),
    "cm2|sqcm": ("square centimetre", "cm²"),
    "mm2": ("square millimetre", "mm²"),
    "sqmi|mi2": ("square mile", "sq mi"),
    "sqft|ft2": ("square foot", "sq ft"),
    "sqyd|yd2": ("square yard", "sq yd"),
    "sqin|in2": ("square inch", "sq in"),
    "acre|acres": ("acre", "acre"),
    "ha|hectare": ("hectare", "ha"),
    "km3": ("cubic kilometre", "km³"),
    "m3": ("cubic metre", "m³"),
    "cm3|cc": ("cubic centimetre", "cm³"),
    "cumi|mi3": ("cubic mile", "cu mi"),
    "cuft|ft3": ("cubic foot", "cu ft"),
    "cuyd|yd3": ("cubic yard", "cu yd"),
    "cuin|in3": ("cubic inch", "cu in"),
    "l|L": ("litre", "L"),
    "ml|mL": ("millilitre", "mL"),
    "Ml|ML": ("megalitre", "ML"),
    "USgal|U.S.gal": ("US gallon", "US gal"),
    "MUSgal": ("million US gallon", "million US gal"),
    "impgal": ("imperial gallon", "imp gal"),
    "gal": ("gallon", "gal"),
    "acre.ft|acre-ft": ("acre-foot", "acre⋅ft"),
    "oilbbl": ("barrel", "bbl"),
    "koilbbl": ("thousand barrel", "kbbl"),
    "Moilbbl": ("million barrel", "Mbbl"),
    "Goilbbl": ("billion barrel", "Gbbl"),
    "oilbbl/d": ("barrel per day", "bbl/d"),
    "koilbbl/d": ("thousand barrel per day", "kbbl/d"),
    "Moilbbl/d": ("million barrel per day", "Mbbl/d"),
    "m3/d": ("cubic metre per day", "m³/d"),
    "m3/s|cumec": ("cubic metre per second", "m³/s"),
    "cuft/s|ft3/s": ("cubic foot per second", "cu ft/s"),
    "Tcuft": ("trillion cubic foot", "Tcuft"),
    "Bcuft": ("billion cubic foot", "Bcuft"),
    "kg": ("kilogram", "kg"),
    "g": ("gram", "g"),
    "mg": ("milligram", "mg"),
    "t|MT|tonne|tonnes": ("tonne", "t"),
    "LT|long ton": ("long ton", "long ton"),
    "ST|short ton": ("short ton", "short ton"),
    "lb|lbs": ("pound", "lb"),
    "oz": ("ounce", "oz"),
    "st": ("stone", "st"),
    "carat": ("carat", "carat"),
    "ozt": ("troy ounce", "ozt"),
    "km/h|kph|kmph": ("kilometre per hour", "km/h"),
    "mph|mi/h": ("mile per hour", "mph"),
    "m/s": ("metre per second", "m/s"),
    "km/s": ("kilometre per second", "km/s"),
    "ft/s": ("foot per second", "ft/s"),
    "kn|knot|knots": ("knot", "kn"),
    "C|°C|degC|C-change": ("°C", "°C"),
    "F|°F|degF|F-change": ("°F", "°F"),
    "K": ("kelvin", "K"),
    "hp|bhp": ("horsepower", "hp"),
    "PS": ("metric horsepower", "PS"),
    "W": ("watt", "W"),
    "kW": ("kilowatt", "kW"),
    "MW": ("megawatt", "MW"),
    "J": ("joule", "J"),
    "kJ": ("kilojoule", "kJ"),
    "MJ": ("megajoule", "MJ"),
    "kWh": ("kilowatt-hour", "kWh"),
    "kcal": ("kilocalorie", "kcal"),
    "Nm|N.m": ("newton-metre", "N⋅m"),
    "N": ("newton", "N"),
    "kN": ("kilonewton", "kN"),
    "lbf": ("pound-force", "lbf"),
    "lbft|lb.ft": ("pound-foot", "lb⋅ft"),
    "psi": ("pound per square inch", "psi"),
    "Pa": ("pascal", "Pa"),
    "kPa": ("kilopascal", "kPa"),
    "MPa": ("megapascal", "MPa"),
    "hPa": ("hectopascal", "hPa"),
    "mbar": ("millibar", "mbar"),
    "inHg": ("inch of mercury", "inHg"),
    "atm": ("standard atmosphere", "atm"),
    "mpgus|mpgUS": ("mile per US gallon", "mpg"),
    "mpgimp": ("mile per imperial gallon", "mpg"),
    "L/100 km": ("litre per 100 km", "L/100 km"),
    "PD/sqmi|/sqmi": ("inhabitant per square mile", "/sq mi"),
    "PD/km2|/km2": ("inhabitant per square kilometre", "/km²"),
}
UNITS = {code: unit for codes, unit in ROWS.items() for code in codes.split("|")}

SUBUNITS = frozenset(
    {
        ("mi", "yd"),
        ("mi", "ft"),
        ("mi", "chain"),
        ("mi", "furlong"),
        ("yd", "ft"),
        ("ft", "in"),
        ("st", "lb"),
        ("lb", "oz"),
    }
)
"""Pairs that make one quantity: {{convert|5|ft|11|in}}."""
POWER = re.compile(r"e(\d{1,2})(?=\D)")
POWERS = {"3": "thousand", "6": "million", "9": "billion", "12": "trillion"}
IRREGULAR = {
    "foot": "feet",
    "inch": "inches",
    "horsepower": "horsepower",
    "stone": "stone",
    "kelvin": "kelvins",
    "°C": "°C",
    "°F": "°F",
}
AMERICAN = re.compile(r"(met|lit)re")


def unit_name(code: str, *, symbol: bool, plural: bool, american: bool) -> str:
    """Call a unit by name or symbol: "e6acre" is "million acres"; a code that is not known stays as it is."""
    power, code = _power(code)
    singular, short = UNITS.get(code, (code, code))
    name = short if symbol or code not in UNITS else _plural(singular) if plural else singular
    return power + (AMERICAN.sub(r"\1er", name) if american else name)


def _power(code: str) -> tuple[str, str]:
    match = POWER.match(code)
    if not match or match[1] not in POWERS:
        return "", code
    return POWERS[match[1]] + " ", code[match.end() :]


def _plural(name: str) -> str:
    """Put the noun that counts into the plural: "feet per second", "square inches"."""
    head, per, rest = name.partition(" per ")
    if not per:
        head, per, rest = name.partition(" of ")
    before, space, noun = head.rpartition(" ")
    return before + space + IRREGULAR.get(noun, noun + "s") + per + rest
