"""Facts about incidents -> incidents.enriched: the incident with an explanation, always one."""

NAME = "llm-enricher"
__version__ = "3.0.0"
