import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from flows.running import run_config
from pipeline.config import load
from pipeline.core.errors import StoreError

Usage = namedtuple("Usage", "total used free")


def test_a_disk_without_room_for_prefect_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("One sentence.\n")
    source = f"recipe.corpus.sources=[{{kind: text, path: {tmp_path / 'text.txt'}}}]"
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 5_000_000, 5_000_000))
    with pytest.raises(StoreError, match=r"run\.store=.*the disk is full, 5 MB are free and a run needs 32 MB"):
        run_config(load([], [source, f"run.store={tmp_path / 'store'}"]), None)
