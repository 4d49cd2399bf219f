from pathlib import Path

from pipeline.core.store import Artifact
from pipeline.core.tracking.notes import Row, parent_note

COST = {"duration_s": 1.0, "energy_kwh": 0.001, "emissions_kg": 0.0005}


def test_the_note_of_a_flow_run_says_how_its_energy_is_known() -> None:
    made = {**COST, "energy_method": "estimated from rated power: processor 8 W by load"}
    artifacts = [Artifact(Path("store/corpus/0123456789ab"), {"made": cost}) for cost in (made, made, COST)]
    rows = [Row("corpus", artifact, "made") for artifact in artifacts]
    note = parent_note(rows, {}, lambda *_: None, [])
    assert note.splitlines()[-2:] == ["", "Energy: estimated from rated power: processor 8 W by load."]
    assert "Energy" not in parent_note(rows[2:], {}, lambda *_: None, [])
