"""Tokenizers that need no training: letters and a few words, bytes."""

import string
from typing import Any

import pytest

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("the", "norman", "##s", "came", "from", "france", "in", "911", "who", "where", "?", ".", ",", "smith")


@pytest.fixture
def wordpiece() -> Any:
    """BERT's tokenizer over letters, digits and a few words: other signs are [UNK]."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    letters = string.ascii_lowercase + string.digits
    pieces = dict.fromkeys((*SPECIALS, *WORDS, *letters, *(f"##{letter}" for letter in letters)))
    made = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return finished(made)


@pytest.fixture
def byte_level() -> Any:
    """A byte a piece, as byte-level BPE without merges: words begin with a space."""
    from tokenizers import models, pre_tokenizers

    from pipeline.text.vocab.bpe import components

    pieces = (*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet()))
    made = components(lowercase=True)
    made.model = models.BPE({piece: at for at, piece in enumerate(pieces)}, [])
    return finished(made)


def finished(tokenizer: Any) -> Any:
    from tokenizers import processors

    tokenizer.add_special_tokens(list(SPECIALS))
    ids = [(name, SPECIALS.index(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return tokenizer
