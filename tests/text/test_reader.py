import gzip
import json
from pathlib import Path
from random import Random

from pipeline.core.arrow import read_rows
from pipeline.core.store import Store
from pipeline.text.cleaning import Settings
from pipeline.text.reader import NOTE_CHARACTERS, SKIPPED_LISTED, ReadSpan, Unpack, read_span
from pipeline.text.sources import Reading, Span
from tests.stages.conftest import Workshop, files_of


def job(file: Path, kind: str) -> ReadSpan:
    whole = Span(0, file.stat().st_size)
    settings = Settings("en", 1, 0.5)
    return ReadSpan(file, file.name, 0, "0" * 64, whole, False, kind, Reading(kind), ("repair",), settings, 2)


def test_all_skipped_documents_are_counted_and_some_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,id\nThis is a good row.,1\n" + "a,b,c\n" * 1000)
    facts = read_span(job(file, "csv"), tmp_path)
    assert (facts["read"], facts["skipped"], len(facts["skipped_list"])) == (1, 1000, SKIPPED_LISTED)
    assert facts["skipped_list"][0] == "line 3: 3 fields, expected 2; mend its quotes and delimiters"


def test_a_long_note_is_cut_in_its_middle(tmp_path: Path) -> None:
    file = tmp_path / "a.warc"
    address = "https://example.org/" + "x" * 50_000
    file.write_text(
        f"WARC/1.0\r\nWARC-Type: resource\r\nWARC-Target-URI: {address}\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"
    )
    (note,) = read_span(job(file, "warc"), tmp_path)["skipped_list"]
    assert note.startswith("record at byte 0 (https://example.org/xxx")
    assert note.endswith("xxx): not HTML")
    assert len(note) < NOTE_CHARACTERS + 10


def test_what_is_unpacked_of_equal_bytes_depends_on_the_name_it_is_titled_by() -> None:
    first, second = (Unpack(Path(name), "0" * 64, "jsonl").what() for name in ("x/a.jsonl.gz", "x/b.jsonl.gz"))
    assert first != second
    assert first == Unpack(Path("y/a.jsonl.gz"), "0" * 64, "jsonl").what()


def test_a_corpus_holds_the_same_bytes_whatever_a_store_unpacked_before(tmp_path: Path) -> None:
    random = Random(3)
    records = ({"text": " ".join(f"{random.getrandbits(40):x}" for _ in range(400))} for _ in range(300))
    packed = gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode(), 1)

    def made(store: str, name: str) -> tuple[str, str, dict[str, str]]:
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(packed)
        workshop = Workshop(tmp_path / "texts", Store(tmp_path / store).open())
        corpus = workshop.make(workshop.plan([{"kind": "jsonl", "path": str(folder)}])["corpus"])
        title = next(iter(read_rows(corpus.file("documents/00000.arrow"))))["title"]
        return corpus.key, title.partition(" at ")[0], files_of(corpus)

    fresh = made("fresh", "a.jsonl.gz")
    assert made("used", "b.jsonl.gz")[1] == "b.jsonl.gz"
    assert made("used", "a.jsonl.gz") == fresh
