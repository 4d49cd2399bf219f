"""Sizes and costs against published figures."""

from dataclasses import replace
from typing import Literal

import pytest

from pipeline.model.encoder import encoder_of
from pipeline.model.shape import SIZES, Shape, flops_per_token, parameter_count


def _named(size: str, vocab_size: int = 30522, max_positions: int = 512) -> Shape:
    return Shape(*SIZES[size], vocab_size=vocab_size, max_positions=max_positions)


@pytest.mark.parametrize(
    ("size", "published"),
    # Turc et al. 2019, google-research/bert README: 4.4M, 11.3M, 29.1M, 41.7M (with pooler); BERT-base 110M, large 340M
    [("tiny", 4.4), ("mini", 11.2), ("small", 28.8), ("medium", 41.4), ("base", 109.5), ("large", 335.1)],
)
def test_named_sizes_have_the_published_number_of_parameters(size: str, published: float) -> None:
    assert parameter_count(_named(size)) / 1e6 == pytest.approx(published, abs=0.05)


@pytest.mark.parametrize(("length", "millions"), [(128, 545), (512, 588)])
def test_flops_of_bert_base_are_those_counted_by_hand(length: int, millions: int) -> None:
    counted = flops_per_token(_named("base"), attended=length, predicted_share=0.15)
    assert counted / 1e6 == pytest.approx(millions, abs=1.0)


def test_the_feed_forward_layer_is_four_times_as_wide_unless_given() -> None:
    assert _named("base").intermediate == 3072
    assert Shape(1, 8, 2, 10, 16, intermediate_size=20).intermediate == 20


@pytest.mark.parametrize(("size", "inner"), [("tiny", 320), ("mini", 704), ("base", 2048), ("large", 2752)])
def test_a_gated_layer_has_about_as_many_weights_as_a_plain_one(size: str, inner: int) -> None:
    shape = replace(_named(size), architecture="modern")
    assert shape.intermediate == inner
    assert 3 * inner == pytest.approx(8 * shape.width, rel=0.07)


@pytest.mark.parametrize("architecture", ["bert", "modern"])
def test_parameters_are_counted_as_the_encoder_has_them(architecture: Literal["bert", "modern"]) -> None:
    shape = replace(_named("tiny", 999, 40), architecture=architecture)
    pooler = shape.width * (shape.width + 1) if architecture == "bert" else 0
    encoder = sum(parameter.numel() for parameter in encoder_of(shape).parameters())
    assert parameter_count(shape) == encoder + pooler


def test_flops_of_the_modern_base_are_those_counted_by_hand() -> None:
    # 6 operations a weight: 12 layers of 4 x 768^2 and 3 x 768 x 2048, the head for 15% of tokens; 12 x L x H x s
    matrices = 12 * (4 * 768**2 + 3 * 768 * 2048) + 0.15 * (768 * 30522 + 768**2)
    counted = flops_per_token(replace(_named("base"), architecture="modern"), attended=128, predicted_share=0.15)
    assert counted == pytest.approx(6 * matrices + 12 * 12 * 768 * 128)
