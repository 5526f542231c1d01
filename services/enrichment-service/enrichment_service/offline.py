"""``python -m enrichment_service.offline``: this service in a pipe, for evaluations."""

from aiops_core.offline import offline
from enrichment_service.__main__ import recipe

if __name__ == "__main__":
    offline(recipe)
