import pytest

from flows.planning import plan_in, upto
from pipeline.core.errors import ConfigError
from tests.flows.conftest import Shop


def test_a_plan_can_be_cut_at_a_stage_or_a_step(shop: Shop) -> None:
    steps = plan_in(shop.store, shop.load("recipe.phases=[{sequence_length: 32}, {sequence_length: 64}]").recipe)
    names = [step.name for step in steps]
    assert names == ["corpus", "tokenizer", "examples-32", "examples-64", "pretrain"]
    assert [step.name for step in upto(steps, "examples")] == names[:4]
    assert [step.name for step in upto(steps, "examples-32")] == names[:3]
    assert upto(steps, None) == steps
    with pytest.raises(ConfigError, match=r"^--until nope: is not a stage of this plan; it has corpus, tokenizer"):
        upto(steps, "nope")


def test_digests_are_remembered_in_the_store(shop: Shop) -> None:
    plan_in(shop.store, shop.load().recipe)
    assert len((shop.store.root / "digests.jsonl").read_text().splitlines()) == 1
