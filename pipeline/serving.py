"""What `mlflow models serve` runs: a pretrained model that fills each [MASK] of a text. MLflow imports this by its name.

The folder that it opens is one that `pretrace export` could have written: weights, config, tokenizer; no pickle.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.model.fill import Filler

TEXT: Final = "text"
TOP: Final = 5
EXAMPLE: Final = {TEXT: ["Paris is the [MASK] of France."]}
_ANSWER: Final = {
    "type": "object",
    "properties": {
        "piece": {"type": "string", "required": True},
        "probability": {"type": "double", "required": True},
    },
}
SIGNATURE: Final = {
    "inputs": json.dumps([{"type": "string", "name": TEXT, "required": True}]),
    "outputs": json.dumps(
        [
            {"type": "string", "name": "filled", "required": True},
            {
                "type": "array",
                "items": {"type": "array", "items": _ANSWER},
                "name": "masks",
                "required": True,
            },
        ]
    ),
    "params": json.dumps([{"name": "top", "type": "long", "default": TOP, "shape": None}]),
}
"""A column `text` in; out, for each text, `filled` with the likeliest pieces and `masks`: the best pieces of each [MASK]."""


class Served:
    """A model as MLflow calls it."""

    def __init__(self, filler: "Filler") -> None:
        self._filler = filler

    def predict(self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Fill every text of a table; `top` in `params` says how many pieces to give for each [MASK].

        Raises: ConfigError if a text has no [MASK] or is too long.
        """
        import pandas as pd

        top = int((params or {}).get("top", TOP))
        return pd.DataFrame([self._row(str(text), top) for text in model_input[TEXT]])

    def _row(self, text: str, top: int) -> dict[str, Any]:
        masks = self._filler.fill(text, top)
        filled = filled_with([answers[0].piece for answers in masks], text)
        return {"filled": filled, "masks": [[asdict(answer) for answer in answers] for answers in masks]}


def filled_with(pieces: list[str], text: str) -> str:
    """Put pieces in place of each [MASK]; one that continues a word is joined to it."""
    from pipeline.text.vocab import MASK
    from pipeline.text.vocab.wordpiece import CONTINUING

    filled, *rest = text.split(MASK)
    for piece, after in zip(pieces, rest, strict=True):
        joined = piece.startswith(CONTINUING)
        filled = (filled.rstrip() if joined else filled) + piece.removeprefix(CONTINUING) + after
    return filled


def _load_pyfunc(path: str) -> Served:
    """Open a model's folder: MLflow calls this by its name."""
    from pipeline.model.fill import Filler

    return Served(Filler(Path(path), Path(path)))
