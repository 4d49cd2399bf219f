"""A finished tokenizer and the folder it is kept in."""

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.processors import TemplateProcessing

from pipeline.text.vocab.algorithm import CLS, SEP, SPECIALS

MODEL_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]


def finished(tokenizer: Tokenizer) -> Tokenizer:
    """Give a tokenizer the special tokens and the layout of pairs; returns it."""
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    tokenizer.post_processor = TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)],
    )
    return tokenizer


def save(tokenizer: Tokenizer, out: Path, settings: dict[str, Any]) -> None:
    """Write a folder that `transformers.AutoTokenizer` loads unchanged; equal tokenizers give equal bytes."""
    tokenizer.save(str(out / "tokenizer.json"), pretty=True)
    tokenizer.model.save(str(out))  # vocab.txt, or vocab.json and merges.txt, or unigram.json
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIALS, strict=True))
    settings = settings | names | {"model_input_names": MODEL_INPUTS}
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
