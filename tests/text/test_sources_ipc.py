import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.core.errors import DataError
from pipeline.text.sources import Document, Reading, Skipped, Span, ipc


def write(file: Path, table: pa.Table) -> Path:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return file


def read(file: Path, column: str = "text") -> list[Document | Skipped]:
    return list(ipc.SOURCE.read(file, Span(0, file.stat().st_size), Reading("web", column)))


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_every_kind_of_string_column_is_read_and_only_what_is_not_utf8_is_skipped(tmp_path: Path, kind: str) -> None:
    cells = [b"One.", None, b"caf\xe9", b"Two."]
    columns = {
        "string": pa.array(cells).view(pa.string()),
        "large_string": pa.array(cells, pa.large_binary()).view(pa.large_string()),
        "string_view": pa.array(cells, pa.binary_view()).view(pa.string_view()),
        "dictionary": pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 2], pa.int32()), pa.array([b"One.", b"caf\xe9", b"Two."]).view(pa.string())),
    }  # fmt: skip
    reason = "no text in the column 'text' (null, or not UTF-8)"
    assert read(write(tmp_path / "a.arrow", pa.table({"text": columns[kind]}))) == [
        Document("web", "a.arrow:1", "", ["One."]),
        Skipped("row 2", reason),
        Skipped("row 3", reason),
        Document("web", "a.arrow:4", "", ["Two."]),
    ]


def test_two_columns_of_one_name_are_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "a.arrow", pa.table([pa.array(["One."]), pa.array(["Two."])], names=["text", "text"]))
    with pytest.raises(DataError, match=r"a\.arrow: 2 columns are called 'text', expected one; rename the others"):
        read(file)


DAMAGE = """
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import pyarrow as pa

from pipeline.core.errors import DataError
from pipeline.text.sources import Reading, Span, ipc

texts = pa.array([f"Row {n % 20} of a table." for n in range(100)])
random = Random(7)
file = Path(sys.argv[1])
for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
    table = pa.table({"text": texts.cast(kind), "title": texts.cast(kind)})
    for written in (pa.ipc.new_file, pa.ipc.new_stream):
        with pa.OSFile(str(file), "wb") as sink, written(sink, table.schema) as writer:
            writer.write_table(table)
        whole = file.read_bytes()
        for _ in range(100):
            damaged = bytearray(whole)
            for _ in range(random.randrange(1, 4)):
                damaged[random.randrange(len(whole))] = random.choice((random.randrange(256), 127, 255))
            file.write_bytes(damaged)
            with suppress(DataError):
                list(ipc.SOURCE.read(file, Span(0, len(whole)), Reading("web")))
"""


def test_whatever_bytes_are_flipped_the_worker_lives_and_the_error_is_one_that_a_user_can_mend(tmp_path: Path) -> None:
    """In a process of its own, since without a look at all of a batch the system ends it with a signal."""
    command = [sys.executable, "-c", DAMAGE, str(tmp_path / "a.arrow")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, "")


def test_an_offset_that_points_beyond_the_text_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "a.arrow", pa.table({"text": ["hello world"] * 10}))
    data = bytearray(file.read_bytes())
    at = data.find((11).to_bytes(4, "little") + (22).to_bytes(4, "little"))
    data[at + 1] = 0x7F
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.arrow: not a whole Arrow file \(.*; download or write it again"):
        read(file)
