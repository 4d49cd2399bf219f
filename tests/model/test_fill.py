from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import BertWordPieceTokenizer

from pipeline.core.errors import ConfigError
from pipeline.model import huggingface
from pipeline.model.fill import fill_masks
from pipeline.text.encode import load
from tests.model.conftest import BOTH, PRETRAINING, learner_of, state_of

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "paris", "is", "the", "capital", "of", "france"]
TEXT = "Paris is the [MASK] of [MASK]"


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    pieces = WORDS + [f"piece{at}" for at in range(1000 - len(WORDS))]
    tokenizer = BertWordPieceTokenizer(vocab={piece: at for at, piece in enumerate(pieces)})
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@pytest.mark.parametrize("architecture", BOTH)
def test_gaps_are_filled_as_transformers_fills_them(architecture: str, vocabulary: Path, tmp_path: Path) -> None:
    shape = BOTH[architecture]
    huggingface.save(tmp_path / "model", shape, state_of(learner_of(shape, PRETRAINING[architecture])))
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "model").eval()
    ids_BT = torch.tensor([[2, 5, 6, 7, 4, 9, 4, 3]])
    with torch.no_grad():
        best = theirs(ids_BT).logits[0, [4, 6]].softmax(-1).topk(3)
    filled = fill_masks(tmp_path / "model", vocabulary, TEXT, top=3)
    ids = load(vocabulary).get_vocab()
    assert [[ids[answer.piece] for answer in gap] for gap in filled] == best.indices.tolist()
    for gap, shares in zip(filled, best.values.tolist(), strict=True):
        assert [answer.probability for answer in gap] == pytest.approx(shares, rel=1e-4)


def test_a_model_without_a_masked_language_head_fills_nothing(vocabulary: Path, tmp_path: Path) -> None:
    huggingface.save(tmp_path / "model", BOTH["modern"], state_of(learner_of(BOTH["modern"])))
    with pytest.raises(ConfigError, match="has no masked language head; name a pretrained model"):
        fill_masks(tmp_path / "model", vocabulary, TEXT, top=1)


@pytest.mark.parametrize(
    ("text", "complaint"), [("no gap here", r"has no \[MASK\]"), ("[MASK]" + " is" * 90, "has 93 tokens and the model")]
)
def test_a_text_that_cannot_be_filled_is_refused(text: str, complaint: str, vocabulary: Path, tmp_path: Path) -> None:
    huggingface.save(tmp_path / "model", BOTH["bert"], state_of(learner_of(BOTH["bert"], ["mlm"])))
    with pytest.raises(ConfigError, match=complaint):
        fill_masks(tmp_path / "model", vocabulary, text, top=1)
