"""To which domain a service belongs, by ``domains`` of the policy."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from aiops_core.models import Domain
from anomaly_detection.detectors.base import globs
from anomaly_detection.detectors.table import SENDERS
from anomaly_detection.policy import DetectPolicy

DomainOf = Callable[[str], Domain]


def domains(policy: DetectPolicy) -> DomainOf:
    """The domain of a service: that of the first rule which fits, else the default."""
    rules = [(globs(rule.services), rule.domain) for rule in policy.domains]

    @lru_cache(SENDERS)
    def domain_of(service: str) -> Domain:
        return next((domain for of, domain in rules if of(service)), policy.default_domain)

    return domain_of
