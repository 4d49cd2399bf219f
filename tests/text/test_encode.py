from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from pipeline.core.errors import DataError
from pipeline.text.encode import continues, encode_documents, load, special_ids
from pipeline.text.vocab import ALGORITHMS, count_words, save, splitter, train

TEXT = ["the hare and the tortoise ran", "the tortoise outran the hare", "hares run, tortoises walk"] * 3
BOTH = pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))


def trained(algorithm: str) -> Tokenizer:
    size = {"wordpiece": 45, "bpe": 280}[algorithm]
    return train(algorithm, count_words(TEXT, splitter(algorithm, lowercase=True)), vocab_size=size, lowercase=True)


WORDPIECE = trained("wordpiece")


@settings(deadline=None)
@given(st.lists(st.lists(st.text("abehn tr,", max_size=20), max_size=4), max_size=5))
def test_slices_of_the_flat_array_are_the_sentences(documents: list[list[str]]) -> None:
    encoded = encode_documents(WORDPIECE, documents)
    assert len(encoded.document_at) == len(documents) + 1
    for row, sentences in enumerate(documents):
        expected = [ids for text in sentences if (ids := WORDPIECE.encode(text, add_special_tokens=False).ids)]
        begin, end = encoded.document_at[row : row + 2]
        slices = [
            encoded.ids_N[encoded.sentence_at[s] : encoded.sentence_at[s + 1]].tolist() for s in range(begin, end)
        ]
        assert slices == expected
        assert encoded.ids_N[encoded.token_at[row] : encoded.token_at[row + 1]].tolist() == [
            at for ids in expected for at in ids
        ]


def test_sentences_of_no_tokens_are_left_out_and_documents_are_not() -> None:
    encoded = encode_documents(WORDPIECE, [["", "the hare", " "], [], ["the"]])
    assert encoded.document_at.tolist() == [0, 1, 1, 2]
    assert encoded.sentence_at.tolist() == [0, 2, 3]


@BOTH
def test_a_special_token_spelled_out_in_a_text_is_text(algorithm: str) -> None:
    tokenizer = trained(algorithm)
    text = "a [MASK] and [SEP]"
    assert not set(encode_documents(tokenizer, [[text]]).ids_N.tolist()) & {0, 2, 3, 4}
    assert 4 in tokenizer.encode(text).ids  # outside of encode_documents it stays a special token


@pytest.mark.parametrize(("vocab_size", "width"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)])
def test_ids_are_as_narrow_as_the_vocabulary_allows(vocab_size: int, width: type[np.generic]) -> None:
    pieces = {"[UNK]": 0, "last": vocab_size - 1} | {f"p{at}": at for at in range(1, vocab_size - 1)}
    encoded = encode_documents(Tokenizer(models.WordPiece(pieces, unk_token="[UNK]")), [["last"]])
    assert encoded.ids_N.dtype == width
    assert encoded.ids_N.tolist() == [vocab_size - 1]


@BOTH
def test_continuing_pieces_are_the_same_from_a_saved_folder(algorithm: str, tmp_path: Path) -> None:
    tokenizer = trained(algorithm)
    save(tokenizer, tmp_path)
    loaded = load(tmp_path)
    assert np.array_equal(continues(loaded), continues(tokenizer))
    assert loaded.to_str() == tokenizer.to_str()


@BOTH
def test_a_word_has_one_piece_that_does_not_continue(algorithm: str) -> None:
    tokenizer = trained(algorithm)
    encoding = tokenizer.encode("Tortoises outran hares")
    begins = [token for token in encoding.ids if not continues(tokenizer)[token]]
    assert len(encoding.ids) > 5
    assert len(begins) == 3 + len(["[CLS]", "[SEP]"])


@BOTH
def test_sentences_encoded_one_by_one_join_to_the_text_encoded_whole(algorithm: str) -> None:
    tokenizer = trained(algorithm)
    encoded = encode_documents(tokenizer, [TEXT])
    assert encoded.ids_N.tolist() == tokenizer.encode(" ".join(TEXT), add_special_tokens=False).ids


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tokenizer\.json: no tokenizer there; expected the folder"):
        load(tmp_path)


def test_a_vocabulary_without_mask_token_is_refused() -> None:
    pieces = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4}
    with pytest.raises(DataError, match=r"tokenizer: \[MASK\] not in the vocabulary"):
        special_ids(Tokenizer(models.WordPiece(pieces, unk_token="[UNK]")))
