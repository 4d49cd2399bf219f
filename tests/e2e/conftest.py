"""The real command in processes of its own: one Prefect server and one MLflow database serve all of them."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from flows.planning import plan_in
from pipeline.config import load
from pipeline.core.stage import Step
from pipeline.core.store import Store
from pipeline.outside import locate
from tests.conftest import BIN

NEWS = "package:gensim/test/test_data/lee_background.cor"
REVIEWS = "package:gensim/test/test_data/pang_lee_polarity.cor"
EDITIONS, ARTICLES = 8, 150
"""Eight files that each take some tenths of a second to read, and a dozen shards: enough to be caught between them."""
RECIPE = {
    "name": "small",
    "corpus": {"shards": 12},
    "tokenizer": {"vocab_size": 3000},
    "examples": {"held_out_fraction": 0.05},
    "model": {"size": "tiny", "layers": 1, "width": 32, "max_positions": 64, "dropout": 0.0},
    "phases": [{"sequence_length": 64, "steps": 120, "global_batch": 16}],
    "pretrain": {"learning_rate": 0.001, "warmup_steps": 10, "evaluate_every": 60},
    "finetune": [{"task": "polarity", "path": REVIEWS, "epochs": 5, "batch": 8, "sequence_length": 32}],
}
RUN = {"checkpoint_steps": 10, "micro_batch": 16}


@dataclass(frozen=True)
class Pretrace:
    """The installed command; `run` appends where runs are recorded."""

    env: dict[str, str]
    tracking_uri: str

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(self._command(arguments), env=self.env, capture_output=True, text=True, check=False)

    def start(self, *arguments: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """Start a command that will be killed, in a session of its own."""
        with log.open("wb") as out:
            return subprocess.Popen(
                self._command(arguments), env=self.env, stdout=out, stderr=out, start_new_session=True
            )

    def _command(self, arguments: tuple[str | Path, ...]) -> list[str | Path]:
        recorded = [f"run.tracking_uri={self.tracking_uri}"] if arguments[0] == "run" else []
        return [BIN / "pretrace", *arguments, *recorded]


@dataclass(frozen=True)
class Project:
    """What a user has: a config file and texts."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "small.yaml"

    def steps(self, store: Path) -> list[Step]:
        """Plan the config as the command will."""
        return plan_in(Store(store), load([self.config]).recipe)

    def files(self, store: Path) -> dict[str, dict[str, str]]:
        """Give the digest of every file of every artifact, by step."""
        made = {step.name: Store(store).find(step) for step in self.steps(store)}
        return {
            name: {entry["name"]: entry["sha256"] for entry in artifact.manifest["files"]} if artifact else {}
            for name, artifact in made.items()
        }


@pytest.fixture(scope="session")
def pretrace(prefect_url: str, tmp_path_factory: pytest.TempPathFactory) -> Pretrace:
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "RAY_"))}
    return Pretrace({**env, "PREFECT_API_URL": prefect_url, "COLUMNS": "160"}, f"sqlite:///{database}")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Some editions of the same news, each a file, and a recipe of all five stages."""
    news = locate(NEWS)
    if not news.is_file():
        pytest.skip("the sample files are not installed: pip install 'pretrace[sample]'")
    folder = tmp_path_factory.mktemp("project")
    (folder / "texts").mkdir()
    articles = news.read_text(encoding="utf-8").split("\n")[:ARTICLES]
    for edition in range(EDITIONS):
        documents = [f"Edition {edition}. {article}" for article in articles]
        (folder / "texts" / f"{edition}.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    source = {"kind": "text", "path": str(folder / "texts")}
    recipe = {**RECIPE, "corpus": {**RECIPE["corpus"], "sources": [source]}}  # type: ignore[dict-item]
    (folder / "small.yaml").write_text(yaml.safe_dump({"recipe": recipe, "run": RUN}), encoding="utf-8")
    return Project(folder)


@pytest.fixture(scope="session")
def undisturbed(pretrace: Pretrace, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which one run made everything."""
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    done = pretrace("run", project.config, f"run.store={store}")
    assert done.returncode == 0, done.stdout + done.stderr
    return store
