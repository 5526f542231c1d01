"""``python -m anomaly_detection.offline``: this service in a pipe, for evaluations."""

from aiops_core.offline import offline
from anomaly_detection.__main__ import recipe

if __name__ == "__main__":
    offline(recipe)
