"""Templates whose words have to be worked out from their arguments: quantities, dates, formulas, ships."""

import datetime
import re

from pipeline.text.wikitext.arguments import Arguments
from pipeline.text.wikitext.units import SUBUNITS, UNITS, unit_name

HOLE = "\x02"
"""Stands where something vanished that may have been a word of the sentence."""
LOST = "\x03"
"""Stands where a word or number of the sentence vanished for certain."""
RANGES = {"-": "–", "–": "–", "&ndash;": "–", "to": " to ", "to(-)": " to ", "and": " and ", "and(-)": " and ", "or": " or ", "x": " × ", "×": " × ", "by": " by ", "xx": " × ", "*": " × ", "+/-": " ± ", "±": " ± ", "&": " and ", "to about": " to about ", "till": " till ", ",": ", "}  # fmt: skip
NUMBER = re.compile(
    r"[-−+~≈<>]?\s*(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s*\+?\s*\d+\s*[/⁄]{1,2}\s*\d+|\s*[/⁄]{1,2}\s*\d+)?"
)
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
SUPERSCRIPT = str.maketrans("0123456789+-−–", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻")
LANGUAGES = {
    "aa": "Afar", "af": "Afrikaans", "am": "Amharic", "ang": "Old English", "ar": "Arabic", "arc": "Aramaic", "ast": "Asturian",
    "az": "Azerbaijani", "be": "Belarusian", "ber": "Berber", "bg": "Bulgarian", "bn": "Bengali", "bo": "Tibetan", "br": "Breton",
    "bs": "Bosnian", "ca": "Catalan", "cop": "Coptic", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "fy": "West Frisian", "ga": "Irish", "gd": "Scottish Gaelic", "gl": "Galician", "grc": "Ancient Greek",
    "gu": "Gujarati", "haw": "Hawaiian", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer",
    "ko": "Korean", "ku": "Kurdish", "kw": "Cornish", "la": "Latin", "lb": "Luxembourgish", "lt": "Lithuanian", "lv": "Latvian",
    "mi": "Maori", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "mt": "Maltese",
    "my": "Burmese", "nah": "Nahuatl", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "nn": "Norwegian Nynorsk", "oc": "Occitan",
    "pa": "Punjabi", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "qu": "Quechua", "ro": "Romanian", "ru": "Russian",
    "rus": "Russian", "sa": "Sanskrit", "sco": "Scots", "sh": "Serbo-Croatian", "si": "Sinhala", "sk": "Slovak", "sl": "Slovene",
    "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "syr": "Syriac", "ta": "Tamil", "te": "Telugu",
    "tg": "Tajik", "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek",
    "vi": "Vietnamese", "yi": "Yiddish", "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip
CHINESE = {
    "c": "Chinese", "t": "traditional Chinese", "s": "simplified Chinese", "p": "pinyin", "w": "Wade–Giles", "j": "Jyutping",
    "l": "lit.", "hp": "Hanyu Pinyin", "tp": "Tongyong Pinyin", "poj": "Pe̍h-ōe-jī",
}  # fmt: skip


def number(text: str) -> str:
    """Write a number as the encyclopedia shows it: 1300 is 1,300, -5 is −5, 1+1/2 is 1 1/2."""
    sign, digits = ("−", text[1:].strip()) if text[:1] in "-−" and text else ("", text)
    digits = re.sub(r"\s*\+\s*(?=\d+\s*[/⁄])", " ", digits).replace("//", "/")
    whole = re.match(r"\d{4,}(?![\d,/⁄])", digits)
    return sign + (f"{int(whole[0]):,}" + digits[whole.end() :] if whole and len(whole[0]) < 40 else digits)


def raised(text: str) -> str:
    """Write an exponent with raised characters."""
    return text.translate(SUPERSCRIPT)


def convert(a: Arguments) -> str:
    """Say the quantity that was measured; what it was converted to can be worked out again."""
    terms = [term for term in a.placed if term]
    quantity, rest = _amount(terms)
    if not rest:
        return quantity
    unit, rest = rest[0], rest[1:]
    said = _measured(a, quantity, unit)
    while len(rest) > 1 and (unit, rest[1]) in SUBUNITS and NUMBER.fullmatch(rest[0]):
        unit = rest[1]
        said += " " + _measured(a, number(rest[0]), unit)
        rest = rest[2:]
    tail = rest[-1] if a("adj") == "mid" and rest and rest[-1] not in UNITS and not rest[-1].isdecimal() else ""
    return said + ("" if tail.startswith("-") or not tail else " ") + tail


def _amount(terms: list[str]) -> tuple[str, list[str]]:
    """Take the numbers and the words between them from the front, and give the remaining terms too."""
    said = ""
    for place, term in enumerate(terms):
        if NUMBER.fullmatch(term):
            said += number(term)
        elif term in RANGES and said:
            said += RANGES[term]
        elif said:
            return said, terms[place:]
        else:
            said = term
    return said, []


def _measured(a: Arguments, quantity: str, unit: str) -> str:
    adjective = a("adj") in ("on", "mid", "pre") or a("sing") in ("on", "yes")
    symbol = a("abbr") in ("on", "in", "values") and unit in UNITS
    singular = adjective or quantity in ("1", "−1") or re.fullmatch(r"\d+[/⁄]\d+", quantity) is not None
    name = unit_name(unit, symbol=symbol, plural=not singular, american=a("sp") == "us")
    return quantity + ("-" if adjective and not symbol and name[0].isalpha() else "" if name[0] == "/" else " ") + name


def fraction(a: Arguments) -> str:
    """Say {{frac|2}}, {{frac|1|2}} or {{frac|3|1|2}}."""
    parts = a.all()
    if len(parts) == 1:
        return f"1/{parts[0]}"
    return " ".join([*parts[:-2][:1], "/".join(parts[-2:])])


def value(a: Arguments) -> str:
    """Say {{val}}: a number with its uncertainty, power of ten and unit."""
    parts = a.all()
    said = a("p") + (parts[0] if parts else "")
    if len(parts) > 1:
        said += parts[1] if parts[1].startswith("(") else f"±{parts[1]}"
    if a("e"):
        said += "×10" + raised(a("e"))
    unit = a("u") or a("ul") or a("up")
    return said + a("s") + (" " + UNITS[unit][1] if unit in UNITS else f" {unit}" if unit else "")


def day(a: Arguments, first: int = 1) -> str:
    """Say the date whose year, month and day begin at an argument; whatever is no date stays as it is."""
    year, month, of_month = a(first), _month(a(first + 1)), a(first + 2).lstrip("0")
    if not of_month:
        return f"{month} {year}".strip()
    return f"{of_month} {month} {year}" if a("df").lower() in ("y", "yes", "dmy") else f"{month} {of_month}, {year}"


def died(a: Arguments) -> str:
    """Say a day of death and the age reached."""
    years = _years(a, 4, 1)
    return day(a) + (f" (aged {years})" if years is not None else "")


def age(a: Arguments) -> str:
    """Say the years between two days; an age as of today is not known."""
    years = _years(a, 1, 4)
    return LOST if years is None else str(years)


def _years(a: Arguments, begin: int, end: int) -> int | None:
    try:
        born, then = (datetime.date(int(a(place)), int(a(place + 1)), int(a(place + 2))) for place in (begin, end))
    except (ValueError, OverflowError):
        return None
    return then.year - born.year - ((then.month, then.day) < (born.month, born.day))


def as_of(a: Arguments) -> str:
    """Say "As of 1 June 2010"."""
    if a("alt"):
        return a("alt")
    when = " ".join(filter(None, (a(3).lstrip("0"), _month(a(2)), a(1))))
    if a("df").lower() == "us":
        when = day(a)
    word = "" if a("bare") else "Since " if a("since") else "As of "
    return (word.lower() if a("lc") else word) + when + a("post")


def _month(text: str) -> str:
    return MONTHS[int(text) - 1] if re.fullmatch(r"0?[1-9]|1[0-2]", text) else text


def circa(a: Arguments) -> str:
    """Say "c. 1500" or "c. 1500 – c. 1510"."""
    return " – ".join(f"c. {year}" for year in a.all()[:2]) or "c."


def joined(a: Arguments) -> str:
    """Say all arguments as one word: {{chem|H|2|O}}."""
    return "".join(a.all())


def spaced(a: Arguments) -> str:
    """Say all arguments as words."""
    return " ".join(a.all())


def keys(a: Arguments) -> str:
    """Say keys that are pressed together."""
    return "+".join(a.all())


def last(a: Arguments) -> str:
    """Say the last argument: {{transl|ja|Hepburn|jō}}."""
    return (a.all() or [""])[-1]


def language(code: str) -> str:
    """Name a language in front of its words: "Greek: ", nothing where the code is not known."""
    name = LANGUAGES.get(code) or LANGUAGES.get(code.partition("-")[0])
    return f"{name}: " if name else ""


def chinese(a: Arguments) -> str:
    """Say {{zh|t=...|p=...}} with its labels."""
    return "; ".join(f"{label}: {a(key)}" for key, label in CHINESE.items() if a(key))


def other_wiki(a: Arguments) -> str:
    """Say the words of {{ill|Word|de|Wort}}; older pages put the language first."""
    if a("lt"):
        return a("lt")
    return a(2) if re.fullmatch(r"[a-z]{2,3}", a(1)) and len(a.placed) == 2 else a(1)


def ship(a: Arguments, prefix: str) -> str:
    """Say a ship: prefix, name and hull number, as its last argument wants."""
    name, hull, form = a(1), a(2), a(3) or a("up")
    if form in ("1", "2"):
        return hull if form == "1" else name
    return f"{prefix} {name}" + (f" ({hull})" if hull and form != "6" else "")


def ordinal(a: Arguments) -> str:
    """Say 21st."""
    digits = a(1).replace(",", "")
    if not digits.isdecimal():
        return a(1)
    teen = digits[-2:-1] == "1"
    return a(1) + ("th" if teen else {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1], "th"))


def gauge(a: Arguments) -> str:
    """Say the width of a railway track: "1435mm" is 1,435 mm."""
    return re.sub(r"(\d[\d.]*)\s*(mm|ft|in)\s*", lambda part: f"{number(part[1])} {part[2]} ", a(1)).strip()


def verse(a: Arguments) -> str:
    """Say a verse of the Bible: {{bibleverse|1|John|3:16|KJV}}."""
    return " ".join(filter(None, (a(1), a(2), a(3)))) if a(1).isdecimal() or not a(1) else f"{a(1)} {a(2)}".strip()


def height(a: Arguments) -> str:
    """Say a person's height in the units in which it is written."""
    return " ".join(f"{a(unit)} {unit}" for unit in ("m", "cm", "ft", "in") if a(unit))


def density(a: Arguments) -> str:
    """Work out how many live on a square kilometre or mile."""
    try:
        people, area = (float(a(place).replace(",", "")) for place in (1, 2))
        places = min(int(a("prec") or 1), 6)
        said = f"{people / area:,.{max(places, 0)}f}"
    except (ValueError, ZeroDivisionError, OverflowError):
        return LOST
    return said + " per " + unit_name(a(3) or "km2", symbol=False, plural=False, american=False)
