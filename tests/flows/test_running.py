import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from flows.running import literally, run_config, to_be_stored
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


def test_what_prefect_stores_has_no_password() -> None:
    config = load([], ["run.tracking_uri=http://me:secret@head:5000"])
    assert to_be_stored(config).run.tracking_uri == "http://head:5000"
    assert to_be_stored(config).recipe == config.recipe
    assert to_be_stored(load([], [])) == load([], [])


@pytest.mark.parametrize("name", ["tiny", "a {config} of {braces}", "}{"])
def test_a_name_with_braces_is_no_template(name: str) -> None:
    assert literally(name).format(config="x") == name
