"""A model made elsewhere, brought into the store with its tokenizer: ranks on other hosts see no other place.

Weights and config.json keep their bytes, so that their digests are those of the files outside.
"""

import shutil

from pipeline.config import AdoptSlice
from pipeline.core.compute import Facts
from pipeline.core.errors import DataError
from pipeline.core.files import require_unchanged
from pipeline.core.stage import Context, stage


@stage(version=2)
def adopt(cfg: AdoptSlice, ctx: Context) -> Facts:
    """Copy a Hugging Face folder of a BERT: config.json, model.safetensors, and its tokenizer as ours are kept.

    Raises: DataError if it is no BERT or ModernBERT that we compute as transformers does, or has another vocabulary.
    """
    from pipeline.model.shape import read_shape
    from pipeline.text.vocab import save
    from pipeline.text.vocab.existing import read

    files = ctx.sources["tokenizer"]
    tokenizer = read([file.path for file in files], lowercase=True)
    for file in ctx.sources["model"]:
        shutil.copyfile(file.path, ctx.out / file.path.name)
    for file in (*ctx.sources["model"], *files):
        require_unchanged(file.path, file.sha256)
    shape, pieces = read_shape(ctx.out), tokenizer.get_vocab_size()
    if pieces > shape.vocab_size:
        where = ctx.sources["model"][0].path.parent
        raise DataError(
            f"{where}: its tokenizer has {pieces} pieces and its weights {shape.vocab_size}; mend the folder"
        )
    save(tokenizer, ctx.out)
    sizes = {name: getattr(shape, name) for name in ("architecture", "layers", "width", "heads", "max_positions")}
    return {"vocab_size": shape.vocab_size, **sizes}
