from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers

from flows.embedding import embed_file
from pipeline.core.errors import ConfigError
from pipeline.core.store import Artifact, Store
from pipeline.model import huggingface
from pipeline.model.heads import Learner
from pipeline.model.shape import Shape

LETTERS = "abcdefghijklmnopqrstuvwxyz."
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
TEXTS = ["the chicken.", "a", "", "a hen sings in the rain and nobody hears what it sings of."]


@pytest.fixture
def adopted(tmp_path: Path) -> Artifact:
    """A tiny model of three layers and 40 positions with its tokenizer, as the adopt stage leaves it."""
    from pipeline.text.vocab import save, wordpiece

    shape, folder = Shape(3, 16, 2, vocab_size=len(PIECES), max_positions=40), tmp_path / "adopt" / "aaaaaaaaaaaa"
    huggingface.save(folder, shape, dict(Learner(shape, {}).named_parameters()))
    save(wordpiece(PIECES, lowercase=True), folder)
    return Artifact(folder, {"inputs": {}})


def test_rows_hold_what_transformers_computes(adopted: Artifact, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    assert embed_file(Store(tmp_path), adopted, tmp_path / "texts.txt", tmp_path / "out.parquet", token_layers=2) == 3
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["line"], row["text"]) for row in rows] == [(at + 1, text) for at, text in enumerate(TEXTS) if text]
    tokenizer = transformers.AutoTokenizer.from_pretrained(adopted.path)
    model = transformers.BertModel.from_pretrained(adopted.path).eval()
    for row in rows:
        inputs = tokenizer(row["text"], return_tensors="pt", truncation=True, max_length=40)
        with torch.no_grad():
            states = torch.stack(model(**inputs, output_hidden_states=True).hidden_states)[:, 0].numpy()
        assert row["tokens"] == tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
        np.testing.assert_allclose(row["vector"], states[-1].mean(0), atol=1e-5)
        np.testing.assert_allclose(row["layers"], states.mean(1), atol=1e-5)
        np.testing.assert_allclose(row["activations"], np.concatenate([states[-2], states[-1]], -1), atol=1e-5)


def test_without_tokens_there_are_vectors_alone(adopted: Artifact, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a hen\n", encoding="utf-8")
    embed_file(Store(tmp_path), adopted, tmp_path / "texts.txt", tmp_path / "out.parquet")
    assert pq.read_schema(tmp_path / "out.parquet").names == ["line", "text", "vector", "layers"]


def test_a_missing_file_and_what_is_no_model_are_refused(adopted: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.txt: no such file; name a text file with a text a line"):
        embed_file(Store(tmp_path), adopted, tmp_path / "none.txt", tmp_path / "out.parquet")
    (tmp_path / "texts.txt").write_text("a hen\n", encoding="utf-8")
    corpus = Artifact(tmp_path / "corpus" / "bbbbbbbbbbbb", {})
    with pytest.raises(ConfigError, match=r"corpus/bbbbbbbbbbbb: is not a model"):
        embed_file(Store(tmp_path), corpus, tmp_path / "texts.txt", tmp_path / "out.parquet")


def test_more_layers_than_there_are_and_a_place_that_is_none_are_refused(adopted: Artifact, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("a hen\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"--token-layers 4: the model has 3 layers; name as many or fewer"):
        embed_file(Store(tmp_path), adopted, texts, tmp_path / "out.parquet", token_layers=4)
    with pytest.raises(ConfigError, match=r"none/out\.parquet: cannot be written \(.*\); name another file"):
        embed_file(Store(tmp_path), adopted, texts, tmp_path / "none" / "out.parquet")
