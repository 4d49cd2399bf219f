from pathlib import Path

import prefect

from flows.quiet_page import KEY, TELEMETRY, silence

KEYED = "x='https://cfg.amplitude.com/config';function um(){return`c97dd2acbf306ab7bf54aca0aeb7ffa1`}"


def test_the_page_has_no_account_for_its_telemetry_afterwards(tmp_path: Path) -> None:
    scripts = tmp_path / "v2" / "assets"
    scripts.mkdir(parents=True)
    (scripts / "index.js").write_text(KEYED)
    (scripts / "other.js").write_text("function f(){return`c97dd2acbf306ab7bf54aca0aeb7ffa1`}")
    for _ in range(2):
        silence(tmp_path)
        assert (scripts / "index.js").read_text() == "x='https://cfg.amplitude.com/config';function um(){return``}"
        assert "c97dd2" in (scripts / "other.js").read_text()


def test_prefects_page_is_as_it_was_when_this_was_written() -> None:
    scripts = Path(str(prefect.__ui_v2_static_path__)).glob("assets/*.js")
    texts = [text for script in scripts if TELEMETRY in (text := script.read_text(encoding="utf-8"))]
    assert any(KEY.search(text) for text in texts)
