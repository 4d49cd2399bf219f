"""What is found wrong before anything is made: a mistake in a task's file must not wait behind a week of pretraining.

Rows are read and their answers looked at, as tuning will read them; nothing is encoded, nothing kept.
"""

from pipeline.config import FinetuneSlice, PretrainSlice
from pipeline.core.stage import Step
from pipeline.core.store import Store
from pipeline.model.shape import Shape, read_shape
from pipeline.stages.pretrain import require_short_phases
from pipeline.starts import BEGINS
from pipeline.tasks.answers import find_labels
from pipeline.tuning import read_splits, require_short_rows


def require_ready(step: Step, store: Store) -> None:
    """Refuse a step that is not made and that could not be made of what is there.

    Raises: DataError if a file of a task is malformed, or a folder holds no BERT of ours; ConfigError if a model is to go
    on with longer sequences than it reads.
    """
    shape = _shape(step, store)
    if isinstance(step.config, FinetuneSlice):
        if shape:
            require_short_rows(step.config, shape)
        files = {split: found[0].path for split, found in step.sources.items()}
        task, splits = read_splits(step.config, files)
        find_labels(task, files, splits)
    elif isinstance(step.config, PretrainSlice) and shape:
        require_short_phases(step.config, shape)


def _shape(step: Step, store: Store) -> Shape | None:
    """Read the shape of the model that a step goes on from, or brings; None where the recipe says it, and was checked."""
    if step.label == "adopt":
        return read_shape(step.sources["model"][0].path.parent)
    begin = next((step.inputs[role] for role in BEGINS if role in step.inputs), None)
    if begin is None or getattr(begin.config, "model", None):
        return None
    made = store.find(begin)
    return read_shape(made.path) if made else _shape(begin, store)
