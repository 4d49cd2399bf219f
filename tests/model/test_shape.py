"""Sizes and costs against published figures."""

import pytest

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
