"""``incidents.created`` -> ``incidents.enriched``: the incident with its explanation, always one."""

NAME = "llm-enricher"
__version__ = "3.0.0"
