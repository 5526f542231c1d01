"""Make the two collections of llm-enricher in Qdrant, empty, before it starts.

    python scripts/init_qdrant.py [--url http://127.0.0.1:6333 | --folder .aiops/vectors]

Not needed: llm-enricher makes what is missing. For a server whose operators want to see size and
indexes first, and to learn whether it answers. What is there and fits stays as it is.
"""

from __future__ import annotations

import argparse
import sys

from aiops_core.errors import AiopsError
from aiops_core.policy.settings import Settings
from llm_enricher.retrieval.embedding import SIZE, MiniLm
from llm_enricher.retrieval.vectors import COLLECTIONS, VectorStore


def init(place: str) -> list[str]:
    """What there is afterwards, in words. Raises Unavailable."""
    store = VectorStore(place, MiniLm.name, SIZE)
    try:
        store.ensure()
        counts = store.counts()
    finally:
        store.close()
    said = [f"{place}: {COLLECTIONS[kind]}: {number} points" for kind, number in counts.items()]
    return [*store.problems, *said]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--url", help="a Qdrant server; default: AIOPS_QDRANT_URL")
    place.add_argument("--folder", help="a folder; default: AIOPS_VECTORS")
    args = parser.parse_args()
    try:
        settings = Settings.read()
        told = args.url or args.folder
        said = init(told or settings.qdrant_url or str(settings.vectors))
    except AiopsError as exc:
        sys.stderr.write(f"init_qdrant: {exc}\n")
        return 1
    sys.stdout.writelines(f"{line}\n" for line in said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
