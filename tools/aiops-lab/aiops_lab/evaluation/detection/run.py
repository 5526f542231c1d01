"""The detectors of production on the series of a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from multiprocessing import get_context

from aiops_core.models import MetricSample
from aiops_lab.evaluation.detection.nab import NabSeries, Profile, Tally, score, tally
from anomaly_detection.detection import Detection
from anomaly_detection.detectors.base import Detected
from anomaly_detection.detectors.metric import REPORT
from anomaly_detection.policy import DetectPolicy

FIXED = 0.5  # production's threshold of the score, the same for every series
THRESHOLDS = (0.46, 0.47, 0.48, 0.49, FIXED, 0.51, 0.52, 0.54, 0.56)


@dataclass(frozen=True, slots=True)
class DetectedSeries:
    """The output for one series: rows and reasons of alarms, and the score of every row."""

    alarms: Sequence[int]
    reasons: Sequence[str]
    scores: Sequence[float]


def samples(series: NabSeries) -> Iterator[MetricSample]:
    """The readings as they come over the bus."""
    for row, (at, value) in enumerate(zip(series.times, series.values, strict=True)):
        yield MetricSample.model_construct(
            tracking_id=f"{series.name}:{row}",
            ship_id="evaluation",
            ts=at,
            host=series.name,
            metric="value",
            value=value,
        )


def with_threshold(policy: DetectPolicy, threshold: float) -> DetectPolicy:
    """*policy* with another *threshold* of the score."""
    margin = (1 + policy.metrics.margin) * ratio_of(threshold) - 1
    metrics = policy.metrics.model_copy(update={"margin": margin})
    return policy.model_copy(update={"metrics": metrics})


def watch(policy: DetectPolicy, series: NabSeries) -> DetectedSeries:
    """*series* through all detectors of readings, one reading after the other."""
    detection = Detection(policy)
    alarms, reasons, scores = [], [], []
    for row, sample in enumerate(samples(series)):
        found = [
            finding for detector in detection.of_samples for finding in detector.observe(sample)
        ]
        verdicts = [finding for finding in found if isinstance(finding, Detected)]
        scores.append(detection.metric.score)
        if verdicts:
            alarms.append(row)
            reasons.append(verdicts[0].reason)
    return DetectedSeries(alarms, reasons, scores)


def watch_all(policy: DetectPolicy, series: NabSeries) -> Mapping[float, DetectedSeries]:
    """*series* with every threshold."""
    return {each: watch(with_threshold(policy, each), series) for each in THRESHOLDS}


def watch_corpus(
    policy: DetectPolicy, corpus: Sequence[NabSeries], done: Callable[[], None]
) -> Sequence[Mapping[float, DetectedSeries]]:
    """Every series, on all cores. *done* is called after each."""
    found: list[Mapping[float, DetectedSeries]] = []
    # Spawned, because a forked child may wait for ever for a lock that a thread of the parent held.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for detected in pool.map(watch_all, repeat(policy), corpus):
            found.append(detected)
            done()
    return found


@dataclass(frozen=True)
class Results:
    """Every threshold on every series of a corpus."""

    corpus: Sequence[NabSeries]
    detected: Sequence[Mapping[float, DetectedSeries]]

    @cached_property
    def tallies(self) -> Mapping[float, Sequence[Tally]]:
        """Threshold -> the tally of each series."""
        pairs = list(zip(self.corpus, self.detected, strict=True))
        return {
            each: [tally(series, found[each].alarms) for series, found in pairs]
            for each in THRESHOLDS
        }

    def fixed(self, profile: Profile) -> float:
        return score(self.corpus, self.tallies[FIXED], profile)

    def best(self, profile: Profile, without: str = "") -> float:
        """The best threshold on all series except those of the category (or file) *without*."""
        kept = [
            n
            for n, series in enumerate(self.corpus)
            if without not in (series.name, series.category)
        ]
        corpus = [self.corpus[n] for n in kept]

        def value(threshold: float) -> tuple[float, float]:
            tallies = self.tallies[threshold]
            reached = score(corpus, [tallies[n] for n in kept], profile)
            return reached, -abs(threshold - FIXED)

        return max(THRESHOLDS, key=value)

    def cross_validated(self, profile: Profile, *, by_category: bool) -> float:
        """The score when each series (or category) has the best threshold of all others."""
        tallies = []
        for n, series in enumerate(self.corpus):
            threshold = self.best(profile, series.category if by_category else series.name)
            tallies.append(self.tallies[threshold][n])
        return score(self.corpus, tallies, profile)


def ratio_of(score: float) -> float:
    """The inverse of ``detectors.metric.score``."""
    return (1 - REPORT) / (1 - score) if score > REPORT else score / REPORT
