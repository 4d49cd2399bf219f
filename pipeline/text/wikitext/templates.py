"""The templates that stand for words of a sentence, one row each; all others are silent.

A row is what is said: "$1" is the first argument, "$lt/1" the one named lt or else the first; a function where that does not
suffice. Names that share a row are parted by a bar; one that ends in "*" stands for all that begin so. A template without a row
leaves a HOLE: a later pass mends the sentence around it.
"""

from collections.abc import Callable
from functools import lru_cache, partial

from pipeline.text.wikitext import spoken
from pipeline.text.wikitext.arguments import Arguments
from pipeline.text.wikitext.spoken import HOLE

Row = str | Callable[[Arguments], str]

NOTHING = ""
"""Shows nothing, or only a mark that no sentence needs."""

SPOKEN: dict[str, Row] = {
    # quantities
    "convert|cvt|conv": spoken.convert,
    "formatnum:|formatnum|format price|number table sorting|nts|ntsh|comma separated": lambda a: spoken.number(a(1)),
    "frac|fraction|sfrac|fract": spoken.fraction,
    "val": spoken.value,
    "e|10^": lambda a: "×10" + spoken.raised(a(1)),
    "gaps": spoken.joined,
    "ordinal|ord|nth": spoken.ordinal,
    "height": spoken.height,
    "railgauge|track gauge|rail gauge": spoken.gauge,
    "pop density": spoken.density,
    "ratio": "$1:$2",
    "us$|usd": "US$$1",
    "$|aud|a$": "$$1",
    "gbp|£|pound sterling": "£$1",
    "eur|€|euro": "€$1",
    "inr|₹|indian rupee": "₹$1",
    "jpy|¥|cny|yen": "¥$1",
    "deg|degree|degrees": "$1°",
    "celsius": "$1 °C",
    "ra": lambda a: f"{a(1)}h {a(2)}m {a(3)}s",
    "dec": "$1° $2′ $3″",
    "solar mass": "M☉",
    "pi": "π",
    # dates
    "as of|asof": spoken.as_of,
    "circa|c.|ca.|circa2": spoken.circa,
    "birth date|birth date and age|birth-date|birth-date and age|birthdate|bda|dob|birth date2|start date|start date and age"
    "|end date|end date and age|film date|date|dts|start-date|death date|death-date": spoken.day,
    "death date and age|death-date and age|dda": spoken.died,
    "birth year and age|death year and age|birth year|death year": "$1",
    "age|age in years|age nts": spoken.age,
    "floruit|fl.": "fl. $1",
    "reign|r.": "r. $1–$2",
    "b.": "b. $1",
    "d.": "d. $1",
    "oldstyledate|old style date": "$1 $2 [O.S. $3]",
    "ce": "$1 CE",
    "bce": "$1 BCE",
    # languages; "lang-fr" names the language too
    "lang": "$2/text",
    "langx": lambda a: spoken.language(a(1)) + a(2),
    "transl|transliteration|xlit|tlit": spoken.last,
    "rtl-lang|native name|native phrase": "$2",
    "nihongo|nihongo krt": "$1 ($2, $3, $4)",
    "nihongo2": "$1",
    "nihongo3": "$3 ($2, $1, $4)",
    "korean": "Korean: $hangul/1; romanized: $rr/2",
    "zh|zh-cpl|chinese": spoken.chinese,
    "lit|literal translation|lit.": "lit. ‘$1’",
    "gloss": "‘$1’",
    "ill|interlanguage link|illm|interlanguage link multi|red link with wikidata|link-interwiki": spoken.other_wiki,
    "angbr|angle bracket|grapheme": "⟨$1⟩",
    "script|script/arabic|script/hebrew|script/nastaliq|nastaliq|hebrew|polytonic|unicode|iast|iso 15919|arabic|my|linktext": spoken.spaced,
    "vr": lambda a: f"/{a(1)}/",
    # names
    "flag|flagcountry|flagu|flag country|fb|nft|flagdeco": "$1",
    "uss": partial(spoken.ship, prefix="USS"),
    "hms": partial(spoken.ship, prefix="HMS"),
    "ss": partial(spoken.ship, prefix="SS"),
    "mv": partial(spoken.ship, prefix="MV"),
    "ms": partial(spoken.ship, prefix="MS"),
    "rms": partial(spoken.ship, prefix="RMS"),
    "hmas": partial(spoken.ship, prefix="HMAS"),
    "hmcs": partial(spoken.ship, prefix="HMCS"),
    "sclass|sclass-|sclass2|sclass2-": "$1-class $2",
    "us patent|us patent number": lambda a: f"U.S. Patent {spoken.number(a(1))}",
    "bibleverse|bibleref|bibleref2|bibleverse-nb|bibleref2-nb|bible": spoken.verse,
    "cite quran|qref|quran-usc|quran": "Quran $1:$2",
    # formulas
    "chem|chem/link": spoken.joined,
    "chem2|ce2|chem name": "$1",
    "nuclide|nuclide2|simplenuclide|simplenuclide2|nuclide link": "$1-$2",
    "math|mvar|mathcal|bigmath|var|texmath": "$1",
    "sub": "$1",
    "sup": lambda a: spoken.raised(a(1)) if a(1).lstrip("+-−").isdecimal() else a(1),
    "su": "$p$b",
    "sqrt|radic": "√$1",
    "eqm": "⇌",
    "music": lambda a: {"flat": "♭", "sharp": "♯", "natural": "♮", "b": "♭"}.get(a(1), a(1)),
    "unichar": "U+$1",
    # quotations
    "quote|blockquote|cquote|quotation|rquote|bq|quote box|quotebox|poemquote|poem quote|block quote|poem": "\n\n$text/quote/1\n\n",
    "nq|qi|quotation inline": "$1",
    # only the look
    "nowrap|nobr|nobreak|nbwr|no wrap|j|nobold|noitalic|no italic|normal|nb|longitem|center|small|smaller|big|bigger|large|larger|huge|midsize|sc"
    "|smallcaps|smcaps|sc1|sc2|small caps|smallcaps all|allcaps|caps|lc:|uc:|lcfirst:|ucfirst:|em|strong|bold|italic|i|b|u|underline|strikethrough"
    "|mono|code|tt|samp|kbd|mono space|monospaced|pre2|not a typo|proper name|as written|chr|text|span|highlight|hilite|bigger text|tq|xt|tag"
    "|tl|tlx|para|dfn|visible anchor|vanchor|define|crossref inline|nihongo core|linktext1|wikt-lang1|citation needed span|cn span|fact span"
    "|clarify span|dubious span|vague span": "$text/1",
    "resize|font|font size|font color|fontcolor|color|colored text|fgcolor|size|lang1|sort|wikt-lang|hs|mlang": "$text/2/1",
    "abbr|abbrlink|tooltip|abbreviation|h:title|hover title|define2": "$1",
    "sic": "$2/1",
    "keypress|key press|key": spoken.keys,
    # marks
    "'s": "'s",
    "'|apostrophe|’": "'",
    "' \"|'-\"": "' \"",
    "\" '|\"'": "\" '",
    "-\"": "-\"",
    "–|ndash|endash|en dash|nsndns": "–",
    "—|mdash|mdashb|emdash|em dash|em-dash": "—",
    "snd|snds|spaced ndash|spaced en dash|spnd|ndashs|nspndash|dash": " – ",
    "spaced mdash|smd|spaced em dash|mdashs": " — ",
    "·|dot|middot|bull|•|bullet|dot-separator": " · ",
    "\\|/": " / ",
    "nbsp|spaces|space|thinsp|thin space|hairsp|nnbsp|pad|ensp|emsp|0ws|zwsp|zwj|zwnj|wbr|shy|break|br|crlf|nowrap begin|nowrap end": " ",
    "=": "=",
    "!|pipe": "&#124;",
    "->|→|rarr": "→",
    # said by nobody, yet the sentence had a place for it
    "ipa*|ipac-*|ipac-en|respell|ipalink|usdict|pronunciation|pron|pron-en|audio|listen|audio-ipa|ipaslink|lsj": HOLE,
    # marks and notes that no sentence needs
    "citation needed|cn|fact|facts|citation-needed|cite*|citation|citation/core|citation style|citequote|by whom|according to whom"
    "|who|which|when|where|why|whom|how|says who|clarify|clarify timeframe|clarification needed|vague|dubious|disputed inline|failed verification|verify source|vs"
    "|verification needed|page needed|pn|better source|better source needed|unreliable source?|unreliable source|rs|full|full citation needed|specify|ambiguous"
    "|request quotation|quote needed|qualify evidence|weasel-inline|weasel inline|peacock inline|pov-statement|pov statement|neutrality disputed|or|original research inline"
    "|synthesis inline|non-primary source needed|primary source inline|third-party inline|self-published inline|update inline|update after|update-inline|dated info|inconsistent"
    "|contradiction-inline|contradict-inline|undue weight inline|editorializing|expand acronym|jargon inline|incomprehensible inline|elucidate|importance inline|undue inline"
    "|globalize inline|medical citation needed|mcn|needs update|inconsistent citations|lead citation|attribution needed|dead link|deadlink|dl|webarchive|wayback|cbignore|bare url inline"
    "|rp|r|refn|efn|efn-*|#tag:*|sfn|sfnp|sfnm|sfnmp|sfnref|sfn*|harv|harvnb|harvp|harvtxt|harvcol|harvcolnb|harvcoltxt|harvs|ref|ref label|note|note label|notetag|fn|ref.|ran|rf|inflation-fn"
    "|inflation/fn|reflist|notelist|references|refbegin|refend|sep entry|iep|oed|oed online|odnb|eb1911|isbn|issn|doi|oclc|lccn|pmid|arxiv|bibcode|jstor|asin|catholic|1911|imdb*"
    "|coord|coordinates|coor*|anchor|anchors|anker|clear|clr|-|clearleft|clearright|clear left|clear right|toc*|flagicon|flag icon|flagicon image|rint|icon|*icon|pp*|use*|short description"
    "|main|main article|see also|see|further|hatnote|about|for|other uses|otheruses*|redirect|redirect-*|distinguish|details|dablink|selfref|portal|commons*|wiktionary|defaultsort:|displaytitle:|lowercase*|in lang"
    "|sister project links|official website|official|featured article|good article|authority control|#if*|#switch*|#invoke*|#expr*|legend|legend2|color box|navbar|vte|tnavbar|infobox*|taxobox*|automatic taxobox"
    "|speciesbox|div col|div col end|col-*|colbegin|colend|multicol*|end|s-*|succession box|*stub|multiple image|multiple issues|refimprove|unreferenced|more citations needed|image label|css image crop|unsolved"
    "|coord missing|persondata|link fa|link ga|featured list|spoken wikipedia|pagename|fullpagename|namespace|sitename|wikisource*|wikiquote*|wikinews*|wikiversity*|wikispecies*|gutenberg*|librivox*|worldcat*": NOTHING,
}  # fmt: skip

ROWS = {name: row for names, row in SPOKEN.items() for name in names.split("|")}
BEGINNINGS = tuple((name[:-1], row) for name, row in ROWS.items() if name.endswith("*") and len(name) > 1)
ENDINGS = tuple((name[1:], row) for name, row in ROWS.items() if name.startswith("*") and len(name) > 1)
NO_ARGUMENTS = Arguments(None)


def say(content: str) -> str | None:
    """Say a template, given what stands between its braces; None if it is silent on purpose."""
    name, bar, rest = content.partition("|")
    row, before = look_up(name)
    if row is NOTHING:
        return None
    if row is HOLE:
        return HOLE
    if before:
        bar, rest = "|", before + bar + rest
    arguments = Arguments(rest) if bar else NO_ARGUMENTS
    return arguments.fill(row) if isinstance(row, str) else row(arguments)


@lru_cache(maxsize=1 << 13)
def look_up(name: str) -> tuple[Row, str]:
    """Find the row of a template, and the argument that its name carries: {{formatnum:3003}}."""
    plain = " ".join(name.replace("_", " ").split()).lower().removeprefix("template:")
    head, colon, _argument = plain.partition(":")
    if colon and head + colon in ROWS:
        return ROWS[head + colon], name.partition(":")[2].strip()
    if plain in ROWS:
        return ROWS[plain], ""
    if plain.startswith("lang-"):
        label = spoken.language(plain[5:])
        return (lambda a: label + a(1)), ""
    rows = (
        *(r for start, r in BEGINNINGS if plain.startswith(start)),
        *(r for end, r in ENDINGS if plain.endswith(end)),
    )
    return (rows[0] if rows else HOLE), ""
