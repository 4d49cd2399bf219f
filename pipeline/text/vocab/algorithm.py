"""What a way of making vocabularies is, and what all of them share. Nothing heavy is imported: config lists them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

PAD, UNK, CLS, SEP, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""They have the ids 0 to 4 in every vocabulary of ours."""


Cut = Callable[[str], list[str]]


@dataclass(frozen=True)
class Split:
    """Normalises a text and cuts it into the words that the tokenizer will see."""

    any_text: Cut
    plain_text: Cut
    """The same for printable ASCII, fifty times as fast where the library is not needed for it."""

    def __call__(self, text: str) -> list[str]:
        """Cut any text."""
        return self.any_text(text)


class Pieces(NamedTuple):
    """A learned vocabulary in the order of its ids; the merges that made it, or how likely each piece is, where so made."""

    pieces: tuple[str, ...]
    merges: tuple[tuple[str, str], ...] = ()
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Algorithm:
    """One way to make a vocabulary: how text is cut into words, and what is learned from how often each occurs."""

    summary: str
    components: Callable[[bool], "Tokenizer"]  # lowercase -> a tokenizer without vocabulary
    plain: Callable[[bool], Cut]  # lowercase -> cuts printable ASCII as the components do
    learn: Callable[["pa.Table", int], Pieces]  # WORDS and a size -> that many pieces, fewer if the words have no more
    model: Callable[[Pieces], Any]
    model_name: str  # the class of the library
    continues: Callable[[str], bool]  # whether a piece continues a word
    settings: Callable[["Tokenizer"], dict[str, Any]]  # of tokenizer_config.json
