"""What the data stages write, to the byte: a reminder to raise a stage's version when its bytes change.

If this fails and you meant to change the bytes: raise `@stage(version=...)`, then `UPDATE_GOLDEN=1 make test`.
"""

import json
import os
from pathlib import Path

from tests.stages.conftest import Workshop, files_of

GOLDEN = Path(__file__).parents[1] / "golden" / "bytes.json"


def test_bytes_change_only_with_the_version_of_their_stage(workshop: Workshop, news: list[str]) -> None:
    sources = workshop.write({"a.txt": news[:60], "b.txt": news[40:100]})
    plan = workshop.plan(sources)
    static = workshop.plan(sources, masking={"mode": "static", "duplicates": 2, "unit": "word"})
    bpe = workshop.plan(sources, tokenizer={"algorithm": "bpe"})
    steps = {
        "corpus": plan["corpus"],
        "tokenizer wordpiece": plan["tokenizer"],
        "tokenizer bpe": bpe["tokenizer"],
        "examples dynamic": plan["examples-64"],
        "examples static": static["examples-64"],
    }
    found = {
        what: {"version": step.stage.version, "files": files_of(workshop.make(step))} for what, step in steps.items()
    }
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))
