"""Utilisation against a figure counted by hand, and the table of devices."""

import math

import pytest

from pipeline.model.shape import SIZES, Shape
from pipeline.training.throughput import flop_utilisation, measured, peak_tflops, perplexity


def test_bert_base_at_725k_tokens_a_second_is_half_of_an_h200() -> None:
    shape = Shape(*SIZES["base"], vocab_size=30522, max_positions=512)
    share = flop_utilisation(shape, tokens_per_second=725e3, peak_flops=790e12, attended=128, predicted_share=0.15)
    assert share == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(
    ("device", "tflops"),
    [
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H100 80GB HBM3", 989.0),
        ("NVIDIA A100-SXM4-40GB", 312.0),
        ("Tesla T4", 65.0),
        ("NVIDIA GB200", 2500.0),
        ("NVIDIA RTX A1000 Laptop GPU", None),  # no A100
        ("NVIDIA RTX A3000", None),
        ("NVIDIA T400 4GB", None),
        ("cpu", None),
    ],
)
def test_a_device_is_found_by_its_longest_name_if_by_any(device: str, tflops: float | None) -> None:
    assert peak_tflops(device) == tflops


def test_a_run_is_summed_up() -> None:
    step = {
        "tokens": 90,
        "cells": 100,
        "seconds": 2.0,
        "data_seconds": 0.1,
        "checkpoint_seconds": 0.5,
        "memory_bytes": 7,
    }
    assert measured([step, {**step, "memory_bytes": 9}]) == pytest.approx(
        {
            "seconds": 4.0,
            "tokens_per_second": 45.0,
            "data_share": 0.05,
            "padding_share": 0.1,
            "checkpoint_seconds": 1.0,
            "memory_bytes": 9,
        }
    )


def test_perplexity_is_that_of_the_held_out_masked_tokens() -> None:
    assert perplexity({"held_out_mlm_loss": math.log(50.0)}) == {"held_out_mlm_perplexity": pytest.approx(50.0)}
    assert perplexity({"mlm_loss": 3.0, "held_out_nsp_loss": 0.5}) == {}
    assert math.isfinite(perplexity({"held_out_mlm_loss": 1e6})["held_out_mlm_perplexity"])  # of a run that diverged
