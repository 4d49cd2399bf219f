import subprocess
import sys

import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.objectives import OBJECTIVES, pair_maker
from pipeline.tables import Next
from tests.objectives.conftest import CLS, SEP, keys, numbered, rows


@pytest.mark.parametrize(
    ("objectives", "labels"),
    [
        (["mlm"], {Next.NONE}),
        (["mlm", "nsp"], {Next.NEXT, Next.RANDOM}),
        (["mlm", "sop"], {Next.NEXT, Next.RANDOM}),
        (["nsp"], {Next.NEXT, Next.RANDOM}),
    ],
)
def test_objectives_choose_how_examples_are_made(objectives: list[str], labels: set[Next]) -> None:
    encoded = numbered([[3] * 60] * 3)
    examples = pair_maker(objectives)(
        encoded, keys(encoded), sequence_length=32, short_probability=0, cls_id=CLS, sep_id=SEP, seed=1
    )
    assert set(examples.label.tolist()) == labels
    random = np.flatnonzero(examples.label == Next.RANDOM).tolist()
    assert ("nsp" in objectives) == any(len(rows(examples, at)) == 2 for at in random)


def test_two_objectives_that_make_pairs_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.examples\.objectives: nsp and sop both make pairs of segments"):
        pair_maker(["mlm", "nsp", "sop"])


def test_every_objective_is_summed_up_in_a_line() -> None:
    assert all(objective.summary and "\n" not in objective.summary for objective in OBJECTIVES.values())


def test_listing_the_choices_loads_nothing_heavy() -> None:
    code = (
        "import sys; import pipeline.objectives, pipeline.text.vocab; "
        "print([name for name in ('numba', 'numpy', 'pyarrow', 'tokenizers', 'torch') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
