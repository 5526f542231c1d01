"""What differs between deployments, read once from the environment (``AIOPS_*``). It says *where*;
policies say *how to judge*."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

import aiops_core
from aiops_core.errors import Misconfigured

PORTS = {  # of our five services: on each it answers HTTP unless told otherwise
    "anomaly-detection": 8080,
    "incident-api": 8081,
    "correlation-service": 8082,
    "llm-enricher": 8083,
    "enrichment-service": 8084,
}


class Settings(BaseSettings):
    """All deployment settings; field descriptions are what ``.env.example`` explains."""

    model_config = SettingsConfigDict(
        env_prefix="AIOPS_", frozen=True, extra="ignore", validate_default=True
    )

    ship_id: str = Field(
        "ship-1", min_length=1, description="Identity of the ship in every message."
    )
    nats_url: str = Field(
        "nats://127.0.0.1:4222", description="Broker; user and password in the URL."
    )
    clickhouse_url: str = Field(
        "clickhouse://default@127.0.0.1:9000/",
        description="Native protocol, user and password in it.",
    )
    victoriametrics_url: str = Field(
        "", description="Where anomaly-detection asks its PromQL polls; empty: nowhere."
    )
    llm_url: str = Field(
        "", description="Server of the language model; empty: explanations come from rules alone."
    )
    llm_api: Literal["ollama", "openai"] = Field(
        "ollama", description="What it speaks: Ollama's protocol, or OpenAI's (vLLM, llama.cpp)."
    )
    llm_token: str = Field(
        "",
        pattern=r"^[\x21-\x7e]*$",  # what a header can carry
        repr=False,
        description="Bearer token for it, if it wants one.",
    )
    qdrant_url: str = Field(
        "", description="Where llm-enricher keeps vectors: a Qdrant server; empty: in a folder."
    )
    vectors: Path = Field(
        Path(".aiops/vectors"), description="That folder; one process at a time has it."
    )
    enricher_url: str = Field(
        "http://127.0.0.1:8083", description="Where the CLI finds llm-enricher."
    )
    api_url: str = Field("http://127.0.0.1:8081", description="Where the CLI finds incident-api.")
    api_token: str = Field(
        "",
        pattern=r"^[\x21-\x7e]*$",  # what a header can carry
        repr=False,
        description="Token that the CLI shows to incident-api; one of its AIOPS_API_TOKENS, "
        "without the role.",
    )
    api_tokens: str = Field(
        "",
        repr=False,
        description="role:token,... with roles viewer, operator, admin; empty: the API is loopback "
        "only.",
    )
    read_timeout: float = Field(
        10.0,
        gt=0,
        description="Seconds that ClickHouse may work on what a request to the API asks for.",
    )
    policies: Path = Field(Path("policies"), description="Folder of the policy files.")
    migrations: Path = Field(Path("clickhouse"), description="Folder of the numbered SQL files.")
    probe_host: str = Field(
        "127.0.0.1", description="Address that /health, /ready, /metrics listen on."
    )
    probe_port: int | None = Field(
        None, ge=0, le=65535, description="Their port; by default the service's own of the design."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")

    @field_validator("policies", "migrations")
    @classmethod
    def _in_every_folder(cls, path: Path) -> Path:
        """A relative *path* that the current folder lacks is one beside the package."""
        beside = Path(aiops_core.__file__).parent.parent / path
        return beside if not path.exists() and beside.is_dir() else path

    @property
    def api_headers(self) -> dict[str, str]:
        """What a request to incident-api carries to say who asks; nothing without a token."""
        return {"Authorization": f"Bearer {self.api_token}"} if self.api_token else {}

    @classmethod
    def read(cls) -> Settings:
        """The settings of this process; raises Misconfigured with the variable and the mistake."""
        try:
            return cls()
        except ValidationError as exc:
            first = exc.errors()[0]
            name = "AIOPS_" + "_".join(str(part) for part in first["loc"]).upper()
            raise Misconfigured(f"environment: {name}: {first['msg']}") from exc
