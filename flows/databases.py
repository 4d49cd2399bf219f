"""Where the two servers of `pretrace up` keep their state: SQLite files in the store, or two schemas of one PostgreSQL.

A password is in the environment of the servers and nowhere else.
"""

import asyncio
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

from pipeline.core.errors import ConfigError
from pipeline.core.tracking import reason_of, without_passwords

SCHEMAS = ("prefect", "mlflow")
PREFECT_URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
PREFECT_PATH = "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"
MLFLOW_URL = "MLFLOW_BACKEND_STORE_URI"
OPTION = "--postgres"
EXAMPLE = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, repr=False)
class Databases:
    """What the environment of each server says of its database."""

    prefect: dict[str, str]
    mlflow: dict[str, str]

    @classmethod
    def of(cls, root: Path, postgres: str | None) -> Self:
        """Name the files in the store, or make the schemas.

        Raises: ConfigError if PostgreSQL does not answer, or a package that talks to it is missing.
        """
        if postgres is not None:
            return cls._in_postgres(postgres)
        (root / "prefect").mkdir(exist_ok=True)
        file = root / "prefect" / "prefect.db"
        return cls({PREFECT_URL: f"sqlite+aiosqlite:///{file}"}, {MLFLOW_URL: f"sqlite:///{root / 'mlflow.db'}"})

    @classmethod
    def _in_postgres(cls, url: str) -> Self:
        rest = _rest_of(url)
        driver = next((name for name in ("psycopg2", "psycopg") if find_spec(name)), None)
        if driver is None:
            raise ConfigError(f"{OPTION}: MLflow needs a driver; pip install psycopg2-binary")
        _make_schemas(f"postgresql{rest}")
        prefect, mlflow = SCHEMAS
        search = quote(f"-csearch_path={mlflow}")
        joint = "&" if urlsplit(url).query else "?"
        return cls(
            {PREFECT_URL: f"postgresql+asyncpg{rest.replace('sslmode=', 'ssl=')}", PREFECT_PATH: f"{prefect}, public"},
            {MLFLOW_URL: f"postgresql+{driver}{rest}{joint}options={search}"},
        )


def _rest_of(url: str) -> str:
    """Give a URL from its `://` on.

    Raises: ConfigError if it names no database of PostgreSQL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.hostname or len(parts.path) < 2:
        raise ConfigError(f"{OPTION} {without_passwords(url)}: names no database; write {EXAMPLE}")
    return url.removeprefix(parts.scheme)


def _make_schemas(url: str) -> None:
    import asyncpg  # type: ignore[import-untyped]

    async def make() -> None:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
        for schema in SCHEMAS:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        await connection.close()

    try:
        asyncio.run(make())
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise ConfigError(
            f"{OPTION} {without_passwords(url)}: does not answer ({reason_of(error)}); start it, or mend the URL"
        ) from error
