"""The record people look at: one MLflow run a stage actually made, under one parent run a flow run.

Metrics go to a journal in the draft first and from there to MLflow in batches: a tracking server that is away delays them
and loses none, and a resumed stage goes on in its own run without gaps or repeats. The final model becomes a registered
model version that MLflow can serve.
"""

from pipeline.core.tracking.client import trouble
from pipeline.core.tracking.figures import flat
from pipeline.core.tracking.recorder import MlflowRecorder, Recorder, status_of
from pipeline.core.tracking.registry import ALIAS, Registered, registered
from pipeline.core.tracking.servable import Candidate
from pipeline.core.tracking.tables import Rows
from pipeline.core.tracking.track import Track
from pipeline.core.tracking.trials import Trial
from pipeline.core.tracking.uris import reason_of, without_passwords

__all__ = [
    "ALIAS",
    "Candidate",
    "MlflowRecorder",
    "Recorder",
    "Registered",
    "Rows",
    "Track",
    "Trial",
    "flat",
    "reason_of",
    "registered",
    "status_of",
    "trouble",
    "without_passwords",
]
