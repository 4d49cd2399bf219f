import json
from pathlib import Path

import pytest
import transformers
from tokenizers import Tokenizer, models

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.encode import special_ids
from pipeline.text.vocab import SPECIALS, save, tokenizer_files, wordpiece
from pipeline.text.vocab.existing import read

LINES = ["[PAD]", "the", "[MASK]", "hare", "##s", "[SEP]", "Hare", "[UNK]", "[CLS]", "ran"]
TEXT = "The hares ran, [MASK]"


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_published_vocabulary_keeps_its_ids(shared_data: Path, tmp_path: Path) -> None:
    files = tokenizer_files(shared_data / "oracle/bert-base-uncased-vocab")
    tokenizer = read(files, lowercase=True)
    assert special_ids(tokenizer) == [0, 100, 101, 102, 103]
    save(tokenizer, tmp_path)
    assert (tmp_path / "vocab.txt").read_bytes() == files[0].read_bytes()
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("Hello, world!").ids[1:-1] == [
        *(7592, 1010, 2088, 999)
    ]


def test_a_saved_folder_a_tokenizer_json_and_a_vocab_txt_give_the_same(tmp_path: Path) -> None:
    original = wordpiece(LINES, lowercase=True)
    save(original, tmp_path)
    for path in (tmp_path, tmp_path / "tokenizer.json", tmp_path / "vocab.txt"):
        found = read(tokenizer_files(path), lowercase=True)
        assert found.encode("the hare", "the hares").ids == original.encode("the hare", "the hares").ids
        assert found.get_vocab() == original.get_vocab()


def test_the_case_of_a_bare_vocab_txt_is_that_of_the_recipe(tmp_path: Path) -> None:
    path = written(tmp_path / "vocab.txt", LINES)
    assert read([path], lowercase=True).encode("Hare").tokens[1] == "hare"
    assert read([path], lowercase=False).encode("Hare").tokens[1] == "Hare"


def test_the_case_of_a_folder_is_its_own(tmp_path: Path) -> None:
    written(tmp_path / "vocab.txt", LINES)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    files = tokenizer_files(tmp_path)
    assert [path.name for path in files] == ["vocab.txt", "tokenizer_config.json"]
    assert read(files, lowercase=True).encode("Hare").tokens[1] == "Hare"
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(DataError, match=r"tokenizer_config\.json: not a JSON object"):
        read(files, lowercase=True)


def test_settings_of_use_are_left_behind(tmp_path: Path) -> None:
    tokenizer = wordpiece(LINES, lowercase=True)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(read([tmp_path / "tokenizer.json"], lowercase=True).encode("the hare ran").ids) == 5


@pytest.mark.parametrize("missing", SPECIALS)
def test_a_vocab_txt_without_a_special_token_is_refused(tmp_path: Path, missing: str) -> None:
    path = written(tmp_path / "vocab.txt", [line for line in LINES if line != missing])
    with pytest.raises(DataError, match=r"vocab\.txt: \[[A-Z]+\] not in the vocabulary; expected \[PAD\]") as error:
        read([path], lowercase=True)
    assert f"{missing} not in" in str(error.value)


def test_a_tokenizer_json_without_special_tokens_is_refused(tmp_path: Path) -> None:
    Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match=r"tokenizer\.json: \[PAD\], \[CLS\], \[SEP\], \[MASK\] not in the vocabulary"):
        read([tmp_path / "tokenizer.json"], lowercase=True)


def test_files_that_are_no_tokenizer_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"model": 1}')
    with pytest.raises(DataError, match=r"tokenizer\.json: not a tokenizer of the tokenizers library"):
        read([path], lowercase=True)
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n\xff\n")
    with pytest.raises(DataError, match=r"vocab\.txt: not UTF-8 at byte 6"):
        read([tmp_path / "vocab.txt"], lowercase=True)
    Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(path))
    with pytest.raises(
        DataError, match=r"tokenizer\.json: tokenizer: its model is WordLevel; expected one of WordPiece"
    ):
        read([path], lowercase=True)


def test_ids_that_no_piece_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the piece 'the' twice"):
        read([written(tmp_path / "vocab.txt", [*LINES, "the"])], lowercase=True)
    pieces = {piece: at for at, piece in enumerate(LINES)} | {"far": 50}
    Tokenizer(models.WordPiece(pieces, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match=r"has 11 pieces with ids up to 50; expected every id from 0 once"):
        read([tmp_path / "tokenizer.json"], lowercase=True)


def test_a_line_ends_at_a_newline_only(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join([*LINES, "\u2028", "\x85"]).encode())
    assert read([path], lowercase=True).get_vocab_size() == len(LINES) + 2


def test_a_place_without_tokenizer_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", written(tmp_path / "model.bin", ["x"])):
        with pytest.raises(ConfigError, match=r"no tokenizer there; name a tokenizer\.json, a vocab\.txt, or a folder"):
            tokenizer_files(path)


SPELLED = "Für schön 日本 hares"
FOLDED = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "für",
    "fur",
    "Für",
    "schön",
    "schon",
    "日本",
    "日",
    "本",
    "hare",
    "##s",
]


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("accents", [None, True, False])
@pytest.mark.parametrize("ideographs", [True, False])
def test_a_folder_of_another_way_to_fold_gives_the_ids_of_transformers_read_and_saved(
    lowercase: bool, accents: bool | None, ideographs: bool, tmp_path: Path
) -> None:
    told = {"do_lower_case": lowercase, "strip_accents": accents, "tokenize_chinese_chars": ideographs}
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    written(theirs / "vocab.txt", FOLDED)
    (theirs / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **told}))
    expected = transformers.AutoTokenizer.from_pretrained(theirs)(SPELLED)["input_ids"]
    ours = read(tokenizer_files(theirs), lowercase=True)
    assert ours.encode(SPELLED).ids == expected
    save(ours, tmp_path)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)(SPELLED)["input_ids"] == expected
    again = read([tmp_path / "tokenizer.json"], lowercase=not lowercase)
    save(again, tmp_path)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)(SPELLED)["input_ids"] == expected
