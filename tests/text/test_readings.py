from pathlib import Path

import pytest

from pipeline.core.arrow import read_batches, read_rows
from pipeline.text import readings
from pipeline.text.dedup import identity, shard_of
from pipeline.text.readings import Dealer, Part, Row, gather, index_of, parts, rows_of_shard

SHARDS = 4


def rows(count: int, source: str = "s") -> list[Row]:
    texts = [[f"Text number {at}.", "It has a second sentence."] for at in range(count)]
    return [Row(identity(text), source, f"title {at}", "", text) for at, text in enumerate(texts)]


def dealt(folder: Path, documents: list[Row]) -> tuple[Path, dict[str, object]]:
    folder.mkdir()
    with Dealer(folder, SHARDS) as dealer:
        for row in documents:
            dealer.add(row)
    return folder, dealer.places()


def gathered(where: tuple[Part, ...], out: Path, **left_out: list[str]) -> tuple[list[str], dict[str, object]]:
    out.mkdir()
    facts = gather(where, left_out.get("excluded", []), left_out.get("alike", []), out)
    return [row["title"] for row in read_rows(out / "documents.arrow")], facts


@pytest.mark.parametrize("flush", [1, 100, 1 << 20])
def test_every_shard_has_its_rows_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flush: int) -> None:
    monkeypatch.setattr(readings, "FLUSH_CHARACTERS", flush)
    documents = rows(50)
    reading = dealt(tmp_path / "a", documents)
    for shard in range(SHARDS):
        found = [row for batch in rows_of_shard(parts([reading], shard)) for row in batch.to_pylist()]
        wanted = [row for row in documents if shard_of(row.id, SHARDS) == shard]
        assert [(row["title"], row["sentences"]) for row in found] == [(row.title, row.sentences) for row in wanted]


def test_the_index_has_the_rows_in_the_order_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "FLUSH_CHARACTERS", 300)
    folder, _ = dealt(tmp_path / "a", rows(50))
    index = [row for batch in read_batches(index_of(folder)) for row in batch.to_pylist()]
    stored = list(read_rows(folder / "documents.arrow"))
    assert [row["id"] for row in index] == [row["id"] for row in stored]
    assert [row["characters"] for row in index] == [sum(map(len, row["sentences"])) for row in stored]


def test_a_shards_digest_changes_with_its_own_rows_only(tmp_path: Path) -> None:
    documents = rows(30)
    _, before = dealt(tmp_path / "a", documents)
    _, after = dealt(tmp_path / "b", documents[1:])
    changed = {shard for shard in before if before[shard] != after.get(shard)}
    digests = {shard for shard in changed if before[shard]["sha256"] != after[shard]["sha256"]}  # type: ignore[index]
    assert digests == {str(shard_of(documents[0].id, SHARDS))}


def test_of_equal_texts_the_first_stays_and_the_others_are_counted_by_its_source(tmp_path: Path) -> None:
    readings_ = [dealt(tmp_path / "a", rows(20, "first")), dealt(tmp_path / "b", rows(25, "second"))]
    kept = dropped = 0
    for shard in range(SHARDS):
        titles, facts = gathered(parts(readings_, shard), tmp_path / f"out{shard}")
        kept += len(titles)
        dropped += facts["dropped"].get("duplicates: the same text as a document of first", 0)  # type: ignore[attr-defined]
        assert facts["documents"] == len(titles)
    assert (kept, dropped) == (25, 20)


def test_what_is_excluded_or_alike_is_left_out_and_counted_apart(tmp_path: Path) -> None:
    documents = [row for row in rows(60) if shard_of(row.id, SHARDS) == 1]
    where = parts([dealt(tmp_path / "a", documents)], 1)
    titles, facts = gathered(where, tmp_path / "out", excluded=[documents[0].id], alike=[documents[2].id])
    left = [row for at, row in enumerate(documents) if at not in (0, 2)]
    assert titles == [row.title for row in sorted(left)]
    assert facts["dropped"] == {
        "exclude: listed in recipe.corpus.exclude": 1,
        "near_duplicates: almost the same as a document that is kept": 1,
    }


def test_an_excluded_text_is_excluded_wherever_it_stands_again(tmp_path: Path) -> None:
    documents = [row for row in rows(60) if shard_of(row.id, SHARDS) == 1][:3]
    where = parts([dealt(tmp_path / "a", documents + documents)], 1)
    titles, _ = gathered(where, tmp_path / "out", excluded=[documents[0].id])
    assert titles == [row.title for row in sorted(documents[1:])]


@pytest.mark.parametrize("size_bytes", [1, 200, 1 << 22])
def test_a_shard_is_written_whole_and_sorted_however_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    monkeypatch.setattr(readings, "BATCH_BYTES", size_bytes)
    documents = rows(80)
    dealt_ = [dealt(tmp_path / "a", documents[:50]), dealt(tmp_path / "b", documents[50:])]
    (tmp_path / "out").mkdir()
    facts = gather(parts(dealt_, 2), [], [], tmp_path / "out")
    wanted = sorted(row for row in documents if shard_of(row.id, SHARDS) == 2)
    found = list(read_rows(tmp_path / "out" / "documents.arrow"))
    assert [(row["id"], row["title"], row["sentences"]) for row in found] == [
        (row.id, row.title, row.sentences) for row in wanted
    ]
    assert facts["sentences"] == 2 * len(wanted)


def test_a_shard_without_rows_is_an_empty_file(tmp_path: Path) -> None:
    titles, facts = gathered((), tmp_path / "out")
    assert titles == []
    assert (facts["documents"], facts["sentences"], facts["characters"]) == (0, 0, 0)
