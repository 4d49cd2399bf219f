import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped
from pipeline.text.sources.hub import split_files

HUB = SOURCES["huggingface"]
ROWS = [
    {"text": "One.\nTwo.", "title": "Home", "url": "https://example.org/"},
    {"text": "Three.", "title": "", "url": ""},
]
CONTENTS = [["One.", "Two."], ["Three."]]


def read(file: Path, column: str = "text") -> list[Document | Skipped]:
    return [d for span in HUB.cut(file) for d in HUB.read(file, span, Reading("hub", column))]


def paragraphs(file: Path) -> list[list[str]]:
    return [d.paragraphs for d in read(file) if isinstance(d, Document)]


def put(root: Path, name: str) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(ROWS)
    if name.endswith(".parquet"):
        pq.write_table(table, file)
    elif name.endswith(".arrow"):
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif name.endswith(".csv"):
        file.write_text('text,title,url\n"One.\nTwo.",Home,https://example.org/\nThree.,,\n')
    elif name.endswith(".jsonl.gz"):
        file.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
    else:
        file.write_text("\n".join(map(json.dumps, ROWS)))
    return file


def found(root: Path, split: str) -> list[str]:
    return [file.relative_to(root).as_posix() for file in HUB.find(root, split)]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".jsonl", ".jsonl.gz", ".json"])
def test_files_of_every_format_are_read_as_the_split_they_are(tmp_path: Path, suffix: str) -> None:
    put(tmp_path, f"data/train-00000-of-00002{suffix}")
    put(tmp_path, f"data/train-00001-of-00002{suffix}")
    put(tmp_path, f"data/test-00000-of-00001{suffix}")
    train = HUB.find(tmp_path, "train")
    assert [file.name for file in train] == [f"train-0000{n}-of-00002{suffix}" for n in range(2)]
    assert paragraphs(train[0]) == CONTENTS
    assert found(tmp_path, "test") == [f"data/test-00000-of-00001{suffix}"]


LAYOUTS = [
    ["dataset.csv"],
    ["train.csv", "test.csv"],
    ["data/train.csv", "data/test.csv", "README.md"],
    ["train_0.csv", "train_1.csv", "test_0.csv", "my-dev.csv"],
    ["data/train/shard_0.csv", "data/train/shard_1.csv", "data/test/shard_0.csv"],
    ["en/training-2/a.csv", "validation/b.csv", "c.csv"],
    ["data/train-00000-of-00003.csv", "data/random-00000-of-00001.csv", "data/other.csv", "test.csv"],
    ["training.csv", "retrain.csv", "eval 1.csv", "contest.csv"],
    ["pretrain.csv", "latest.csv"],
    [".hidden/train.csv", "__pycache__/train.csv", "a.csv", "dataset_info.json"],
]  # fmt: skip


@pytest.mark.parametrize("names", LAYOUTS, ids=str)
def test_splits_are_told_from_names_as_datasets_tells_them(tmp_path: Path, names: list[str]) -> None:
    data_files = pytest.importorskip("datasets.data_files", reason="the library datasets is the oracle here")
    for name in names:
        put(tmp_path, name)
    patterns = data_files.get_data_patterns(str(tmp_path))
    for split, globs in patterns.items():
        expected = {path for glob in globs for path in _resolved(data_files, glob, tmp_path) if path.endswith(".csv")}
        assert found(tmp_path, str(split)) == sorted(expected)
    for split in {"train", "validation", "test"} - set(map(str, patterns)):
        with pytest.raises(ConfigError, match=f"no files of a split '{split}'"):
            HUB.find(tmp_path, split)


def _resolved(data_files: object, glob: str, root: Path) -> list[str]:
    try:
        return [os.path.relpath(path, root) for path in data_files.resolve_pattern(glob, str(root))]  # type: ignore[attr-defined]
    except FileNotFoundError:
        return []


@pytest.mark.parametrize(
    "data_files",
    [
        "\n  - split: train\n    path: text/a*.csv\n  - split: test\n    path:\n    - text/b.csv\n    - other/**",
        "\n    train: text/a*.csv\n    test: [text/b.csv, other/**]",
    ],
)
def test_the_configs_of_a_card_come_first(tmp_path: Path, data_files: str) -> None:
    for name in ("text/a1.csv", "text/a2.csv", "text/b.csv", "other/deep/c.csv", "train.csv"):
        put(tmp_path, name)
    (tmp_path / "README.md").write_text(
        f"---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:{data_files}\n---\n# Card\n"
    )
    assert found(tmp_path, "train") == ["text/a1.csv", "text/a2.csv"]
    assert found(tmp_path, "test") == ["other/deep/c.csv", "text/b.csv"]


def test_of_several_configs_the_default_one_is_taken_or_none(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        put(tmp_path, name)
    card = "---\nconfigs:\n- config_name: one\n  data_files: a.csv\n- config_name: two\n  data_files: b.csv\n{}---\n"
    (tmp_path / "README.md").write_text(card.format("  default: true\n"))
    assert found(tmp_path, "train") == ["b.csv"]
    (tmp_path / "README.md").write_text(card.format(""))
    with pytest.raises(ConfigError, match=r"has several configs \(one, two\) and no default one"):
        HUB.find(tmp_path, "train")


@pytest.mark.parametrize("card", [b"---\nconfigs: [\n---\n", b"---\n\xff\n---\n"])
def test_a_card_that_cannot_be_read_is_an_error(tmp_path: Path, card: bytes) -> None:
    put(tmp_path, "a.csv")
    (tmp_path / "README.md").write_bytes(card)
    with pytest.raises(ConfigError, match=r"README\.md: its front matter cannot be read"):
        HUB.find(tmp_path, "train")


def test_a_folder_without_data_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Nothing\n")
    with pytest.raises(ConfigError, match=r"no files of a split 'train' \(.*\); its splits: none"):
        HUB.find(tmp_path, "train")


def test_a_file_is_taken_at_its_word_but_must_be_of_a_known_format(tmp_path: Path) -> None:
    assert HUB.find(put(tmp_path, "x.parquet"), "test") == [tmp_path / "x.parquet"]
    (tmp_path / "x.bin").write_bytes(b"x")
    with pytest.raises(DataError, match=r"x\.bin: not a \.parquet, \.arrow"):
        read(tmp_path / "x.bin")


def test_what_is_no_folder_and_no_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file or folder, and no name of a data set"):
        HUB.find(tmp_path / "missing", "train")


ASK = """
import sys
from pathlib import Path
from pipeline.core.errors import ConfigError
from pipeline.text.sources import SOURCES
{before}
try:
    SOURCES["huggingface"].find(Path("owner/name"), "train")
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("", "the Hugging Face hub did not give it"),
        ("sys.modules['huggingface_hub'] = None", "pip install 'pretrace[hub]'"),
    ],
)
def test_a_data_set_that_cannot_be_fetched_is_one_sentence(tmp_path: Path, before: str, reason: str) -> None:
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", ASK.format(before=before)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    (line,) = done.stdout.splitlines()
    assert line.startswith("owner/name: no such file or folder")
    assert reason in line


def test_a_data_set_saved_by_datasets_itself_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the library datasets writes what is read here")
    made = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(str(tmp_path / "saved"))
    assert found(tmp_path / "saved", "test") == ["test/data-00000-of-00001.arrow"]
    assert paragraphs(tmp_path / "saved" / "train" / "data-00000-of-00001.arrow") == CONTENTS


def test_arrow_files_of_both_formats_are_read_and_broken_ones_are_errors(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{"body": "One.", "id": 1}, {"body": None, "id": 2}])
    file = tmp_path / "a.arrow"
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    one, none = read(file, "body")
    assert one == Document("hub", "a.arrow:1", "", ["One."])
    assert none == Skipped("row 2", "no text in the column 'body' (null, or not UTF-8)")
    with pytest.raises(DataError, match=r"no column 'text'; the file has body, id: name one of these"):
        read(file)
    with pytest.raises(DataError, match=r"the column 'id' holds int64, expected string"):
        read(file, "id")
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"a\.arrow: not a whole Arrow file"):
        read(file, "body")


@given(data=st.binary(max_size=200), magic=st.sampled_from([b"", b"ARROW1\0\0", b"\xff\xff\xff\xff"]))
def test_no_bytes_raise_anything_but_a_data_error(
    data: bytes, magic: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("arrow") / "a.arrow"
    file.write_bytes(magic + data)
    with pytest.raises(DataError, match=r"a\.arrow"):
        read(file)


@given(st.lists(st.text("train/-_.0d", min_size=1, max_size=15), max_size=8))
def test_every_file_of_a_data_set_is_of_some_split_or_left_out_on_purpose(names: list[str]) -> None:
    splits = split_files(names, {})
    assert set(splits) <= {"train", "validation", "test"} or any("-of-" in name for name in names)
    assert {name for listed in splits.values() for name in listed} <= set(names)
    assert bool(splits) == bool(names)


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("data/[!t]*.csv", ["data/dev.csv", "data/x-1.csv"]),
        ("data/[^t]*.csv", ["data/test.csv", "data/train.csv"]),  # a caret means itself
        ("data/[a-e]*.csv", ["data/dev.csv"]),
        ("data/x[-]1.csv", ["data/x-1.csv"]),
        ("data/[]x]-1.csv", ["data/x-1.csv"]),
        ("data[!x]dev.csv", []),  # never a slash
        ("[data/dev.csv", []),
    ],
)
def test_classes_of_characters_in_a_card_mean_what_they_mean_in_globs(glob: str, expected: list[str]) -> None:
    names = ["data/train.csv", "data/test.csv", "data/dev.csv", "data/x-1.csv"]
    assert split_files(names, {"train": [glob]}).get("train", []) == expected


def test_a_class_of_no_characters_in_a_card_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "a.csv")
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files: '[z-a].csv'\n---\n")
    with pytest.raises(
        ConfigError, match=r"^\[z-a\]\.csv: no character can be one of \[z-a\] in this pattern of a data"
    ):
        HUB.find(tmp_path, "train")
