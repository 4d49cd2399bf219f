"""How clean and how fast does wikitext become prose, against WikiExtractor and mwparserfromhell on the same pages?

Every system reads one XML dump of all articles of the real dumps, on one core, as a process of its own; ours once more through the
corpus stage's reader, normalisation and sentence splitter. What it wrote is split into
sentences by our splitter, and leftovers are counted in them; docs/wikitext.md says how. Peers are no dependency of ours:
`python -m venv peers && peers/bin/pip install wikiextractor==3.1.0 mwparserfromhell lxml`, then
`python benchmarks/wikitext.py DATA --peers peers/bin/python [--json]`, where DATA is the folder with the dumps of docs/wikitext.md.
"""

import bz2
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from xml.sax.saxutils import escape

from lxml import etree

from pipeline.text.sentences import split

RUNS = 3
SLOW = {"mwparserfromhell": 1}
"""Systems that are timed less often."""
REDIRECT = re.compile(r"\s*#\s*(?:redirect\b|[^\W\d_]+\s*:?\s*\[\[)", re.IGNORECASE)
OTHER_NAMESPACE = re.compile(r"(?:user|wikipedia|template|category|file|image|portal|help)(?: talk)?:", re.IGNORECASE)

OURS = """
import json, sys
from lxml import etree
from pipeline.text.wikitext import prose
hidden = frozenset(sys.argv[3].split(","))
with open(sys.argv[2], "w", encoding="utf-8") as out:
    for _, page in etree.iterparse(sys.argv[1], tag="{*}page", huge_tree=True):
        text = "\\n".join(prose(page.findtext("{*}revision/{*}text") or "", hidden=hidden).paragraphs)
        print(json.dumps({"title": page.findtext("{*}title"), "text": text}), file=out)
        page.clear()
"""
WHOLE = """
import json, sys
from pathlib import Path
from pipeline.text.clean import paragraphs
from pipeline.text.sentences import split_all
from pipeline.text.sources import SOURCES
from pipeline.text.sources.document import Reading, Span
dump, source = Path(sys.argv[1]), SOURCES["wikipedia"]
with open(sys.argv[2], "w", encoding="utf-8") as out:
    for document in source.read(dump, Span(0, dump.stat().st_size), Reading("wikipedia")):
        found = split_all(paragraphs(document.paragraphs), "en")
        print(json.dumps({"title": document.title, "sentences": found}), file=out)
"""
PARSER = """
import json, sys
import mwparserfromhell
from lxml import etree
with open(sys.argv[2], "w", encoding="utf-8") as out:
    for _, page in etree.iterparse(sys.argv[1], tag="{*}page", huge_tree=True):
        text = mwparserfromhell.parse(page.findtext("{*}revision/{*}text") or "").strip_code()
        print(json.dumps({"title": page.findtext("{*}title"), "text": text}), file=out)
        page.clear()
"""
HIDDEN = "file,image,category,fails,kategoreja,datei,kategorie"


@dataclass(frozen=True)
class Page:
    """An article as the dump has it."""

    title: str
    text: str


def main(arguments: list[str]) -> None:
    """Run all, print the table of leftovers and the speeds."""
    folder = Path(arguments[0])
    peers = arguments[arguments.index("--peers") + 1] if "--peers" in arguments else ""
    pages = collect(folder)
    size = sum(len(page.text.encode("utf-8", "replace")) for page in pages) / 1e6
    systems: dict[str, Callable[[Path, Path], list[str]]] = {"ours": ours}
    if peers:
        systems |= {
            "WikiExtractor": lambda dump, out: wikiextractor(peers, dump, out),
            "mwparserfromhell": lambda dump, out: [peers, "-c", PARSER, str(dump), str(out)],
        }
    with tempfile.TemporaryDirectory() as name:
        dump, empty = Path(name) / "pages.xml", Path(name) / "empty.xml"
        write_dump(dump, pages)
        write_dump(empty, [])
        texts: dict[str, dict[str, str]] = {}
        seconds: dict[str, tuple[float, float]] = {}
        for system, command in systems.items():
            out, runs = Path(name) / system, SLOW.get(system, RUNS)
            whole = median([run(command(dump, out)) for _ in range(runs)])
            seconds[system] = whole, whole - median([run(command(empty, Path(name) / "none")) for _ in range(runs)])
            texts[system] = read_texts(out)
        whole_dump = [sys.executable, "-c", WHOLE]
        timed = [run([*whole_dump, str(dump), str(Path(name) / "sentences")]) for _ in range(RUNS)]
        nothing = [run([*whole_dump, str(empty), str(Path(name) / "none")]) for _ in range(RUNS)]
        seconds["ours, to sentences"] = median(timed), median(timed) - median(nothing)
    report(pages, size, texts, seconds, as_json="--json" in arguments)


def collect(folder: Path) -> list[Page]:
    """Read the articles of the dumps and the single pages; no redirects."""
    pages = [page for dump in sorted(folder.glob("*/*.bz2")) for page in articles(dump)]
    for archive in sorted(folder.glob("*/*.tar.zst")):
        unpacked = subprocess.run(["zstd", "-d", "--long=27", "-c", archive], capture_output=True, check=True).stdout
        with tarfile.open(fileobj=BytesIO(unpacked)) as tar:
            for member in sorted((m for m in tar if m.isfile()), key=lambda m: m.name):
                content = tar.extractfile(member)
                pages.append(Page(Path(member.name).stem, content.read().decode("utf-8", "replace") if content else ""))
    return [Page(f"{number} {page.title}", page.text) for number, page in enumerate(pages)]


def articles(dump: Path) -> Iterable[Page]:
    """Stream the articles of one dump; the re-chunked copy of another dump is none."""
    if "multistream" in dump.name:
        return
    with bz2.open(dump) as stream:
        yield from _articles(stream)


def _articles(stream: bz2.BZ2File) -> Iterable[Page]:
    for _, element in etree.iterparse(stream, tag="{*}page", huge_tree=True):
        title, namespace = element.findtext("{*}title") or "", element.findtext("{*}ns")
        text = element.findall("{*}revision")[-1].findtext("{*}text") or ""
        is_article = namespace == "0" or (namespace is None and not OTHER_NAMESPACE.match(title))
        if is_article and element.find("{*}redirect") is None and not REDIRECT.match(text):
            yield Page(title, text)
        element.clear()


def write_dump(path: Path, pages: Iterable[Page]) -> None:
    """Write pages as a dump that every system reads: WikiExtractor finds nothing where <ns> is missing."""
    with path.open("w", encoding="utf-8", errors="replace") as out:
        print(
            '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="en">\n  <siteinfo>',
            file=out,
        )
        print("    <base>https://en.wikipedia.org/wiki/Main_Page</base>\n    <namespaces>", file=out)
        print(
            '      <namespace key="0" />\n      <namespace key="10">Template</namespace>\n    </namespaces>\n  </siteinfo>',
            file=out,
        )
        for number, page in enumerate(pages, 1):
            print(
                f"  <page>\n    <title>{escape(page.title)}</title>\n    <ns>0</ns>\n    <id>{number}</id>\n    <revision>",
                file=out,
            )
            print(
                f"      <id>{number}</id>\n      <model>wikitext</model>\n      <format>text/x-wiki</format>", file=out
            )
            print(f'      <text xml:space="preserve">{escape(page.text)}</text>\n    </revision>\n  </page>', file=out)
        print("</mediawiki>", file=out)


def ours(dump: Path, out: Path) -> list[str]:
    return [sys.executable, "-c", OURS, str(dump), str(out), HIDDEN]


def wikiextractor(python: str, dump: Path, out: Path) -> list[str]:
    options = ["--json", "--processes", "1", "--no-templates", "--quiet", "--bytes", "1G"]
    return [python, "-m", "wikiextractor.WikiExtractor", str(dump), "-o", str(out), *options]


def read_texts(out: Path) -> dict[str, str]:
    """Give the text that a system wrote for each page."""
    files = sorted(file for file in out.rglob("*") if file.is_file()) if out.is_dir() else [out]
    lines = (line for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return {row["title"]: row["text"] for row in map(json.loads, lines)}


def run(command: list[str]) -> float:
    """Run a process; gives the CPU seconds of it and of its own children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


TAGS = "ref|references|br|small|big|sub|sup|div|span|p|b|i|u|s|center|table|tr|td|th|ul|ol|li|dl|dd|dt|math|gallery|nowiki|code|pre|blockquote|font|cite|poem|hr|timeline|noinclude|includeonly|onlyinclude"
LEFTOVERS: dict[str, re.Pattern[str]] = {
    "braces": re.compile(r"[{}]"),
    "pipes": re.compile(r"\|"),
    "[[ or ]]": re.compile(r"\[\[|\]\]"),
    "==": re.compile(r"=="),
    "''": re.compile(r"''"),
    "entities": re.compile(r"&(?:[A-Za-z]{2,8}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});"),
    "empty parentheses": re.compile(r"(?<![\w.])\(\s*[,;:–-]*\s*\)"),
    "html tags": re.compile(rf"</?(?:{TAGS})\b[^<>]*>", re.IGNORECASE),
    "stray punctuation": re.compile(r"\(\s*[,;](?=\s)|\s[,;](?=\s)|,\s*,\s|[,;]\s*\)|(?<![.…])\s\.(?=\s|$)"),
    "lost a word": re.compile(
        r"\b(?:[Tt]he|At|[Aa]pproximately|[Pp]ronounced|and the|[Aa] total of)\s?(?:,|;|\.(?=\s|$)|\))"
    ),
}
NUMBERED = re.compile(
    r"\{\{\s*(?:convert|cvt|frac|val|formatnum|as of|nowrap|chem|circa|birth date)\s*[|:]([^{}]*)\}\}", re.IGNORECASE
)
DIGITS = re.compile(r"\d+")
NOT_PROSE = re.compile(
    r"<!--.*?-->|<ref\b[^<>]*/>|<ref\b[^<>]*>.*?</ref>|<gallery.*?</gallery>|^[ :]*\{\|.*?^\|\}",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
BEFORE = re.compile(r"([A-Za-z]+ [A-Za-z]+ [A-Za-z]+)[ (~]*$")
REACH = 30


def numbers_of(page: Page) -> list[tuple[str, str]]:
    """List the numbers that templates say in running text: three plain words, and the number that follows them."""
    found = []
    for line in NOT_PROSE.sub("", page.text).replace("&nbsp;", " ").split("\n"):
        if not line[:1].isalnum() and line[:1] not in "'[":
            continue
        for template in NUMBERED.finditer(line):
            words, digits = BEFORE.search(line[: template.start()]), DIGITS.search(template[1])
            if words and digits:
                found.append((words[1], digits[0]))
    return found


def lost_numbers(pages: list[Page], texts: dict[str, str]) -> Counter[str]:
    """Count numbers that follow their words in the text, those whose words stand there without them, and those gone with their words."""
    counts: Counter[str] = Counter()
    for page in pages:
        text = " ".join(texts.get(page.title, "").split()).replace(",", "")
        for words, digits in numbers_of(page):
            after = [text[found.end() : found.end() + REACH] for found in re.finditer(re.escape(words), text)]
            kept = any(re.search(rf"(?<!\d){digits}(?!\d)", stretch) for stretch in after)
            counts["kept" if kept else "lost" if after else "gone"] += 1
    return counts


def leftovers(pages: list[Page], texts: dict[str, str]) -> dict[str, float]:
    """Count leftovers in a system's output per 1,000 of its sentences."""
    sentences = [
        sentence for page in pages for line in texts.get(page.title, "").split("\n") for sentence in split(line)
    ]
    counts = {
        what: sum(len(pattern.findall(sentence)) for sentence in sentences) for what, pattern in LEFTOVERS.items()
    }
    lost = lost_numbers(pages, texts)
    per_thousand = {
        what: round(1000 * count / len(sentences), 3)
        for what, count in {**counts, "lost a number": lost["lost"]}.items()
    }
    return {
        **per_thousand,
        "numbers kept, % of source": round(100 * lost["kept"] / lost.total(), 1),
        "sentences": len(sentences),
    }


def report(
    pages: list[Page],
    size: float,
    texts: dict[str, dict[str, str]],
    seconds: dict[str, tuple[float, float]],
    *,
    as_json: bool,
) -> None:
    table = {system: leftovers(pages, text) for system, text in texts.items()}
    speeds = {
        system: {
            "MB a CPU s, whole process": round(size / whole, 2),
            "MB a CPU s, without start": round(size / steady, 2),
        }
        for system, (whole, steady) in seconds.items()
    }
    print(
        f"python {platform.python_version()}, {os.cpu_count()} cores; {len(pages)} pages, {size:.1f} MB of wikitext, median of {RUNS}\n"
    )
    print(f"{'':28}" + "".join(f"{system:>18}" for system in table))
    for what in table["ours"]:
        print(f"{what:28}" + "".join(f"{table[system][what]:>18}" for system in table))
    for system, speed in speeds.items():
        print(f"{system:28}" + ", ".join(f"{figure} {what}" for what, figure in speed.items()))
    if as_json:
        print(json.dumps({"leftovers": table, "speeds": speeds}))


if __name__ == "__main__":
    main(sys.argv[1:])
