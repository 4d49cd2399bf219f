"""Utilisation against a figure counted by hand."""

import pytest

from pipeline.model.shape import SIZES, Shape
from pipeline.training.throughput import flop_utilisation


def test_bert_base_at_725k_tokens_a_second_is_half_of_an_h200() -> None:
    shape = Shape(*SIZES["base"], vocab_size=30522, max_positions=512)
    share = flop_utilisation(shape, tokens_per_second=725e3, peak_flops=790e12, attended=128, predicted_share=0.15)
    assert share == pytest.approx(0.5, abs=0.005)
