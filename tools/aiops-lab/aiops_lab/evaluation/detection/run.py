"""The detectors of production, with production's policy, on the series of a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from multiprocessing import get_context

from aiops_core.models import MetricSample
from aiops_lab.evaluation.detection.nab import Profile, Series, Tally, score, tally
from anomaly_detection.detectors.base import Verdict
from anomaly_detection.detectors.metric import ratio_of
from anomaly_detection.handler import Detection
from anomaly_detection.policy import DetectPolicy

FIXED = 0.5  # the score from which production tells, the same for every series
THRESHOLDS = (0.46, 0.47, 0.48, 0.49, FIXED, 0.51, 0.52, 0.54, 0.56)


@dataclass(frozen=True, slots=True)
class Told:
    """What production says about one series: the rows of its alarms, and why; the score of each row."""

    alarms: Sequence[int]
    reasons: Sequence[str]
    scores: Sequence[float]


def samples(series: Series) -> Iterator[MetricSample]:
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


def told_from(policy: DetectPolicy, threshold: float) -> DetectPolicy:
    """The same policy, with another *threshold* of the score that is told."""
    margin = (1 + policy.metrics.margin) * ratio_of(threshold) - 1
    metrics = policy.metrics.model_copy(update={"margin": margin})
    return policy.model_copy(update={"metrics": metrics})


def watch(policy: DetectPolicy, series: Series) -> Told:
    """One series through all detectors of readings, one reading after the other."""
    detection = Detection(policy)
    alarms, reasons, scores = [], [], []
    for row, sample in enumerate(samples(series)):
        found = [
            finding for detector in detection.of_samples for finding in detector.observe(sample)
        ]
        verdicts = [finding for finding in found if isinstance(finding, Verdict)]
        scores.append(detection.metric.score)
        if verdicts:
            alarms.append(row)
            reasons.append(verdicts[0].reason)
    return Told(alarms, reasons, scores)


def watch_all(policy: DetectPolicy, series: Series) -> Mapping[float, Told]:
    """One series with every threshold."""
    return {each: watch(told_from(policy, each), series) for each in THRESHOLDS}


def watch_corpus(
    policy: DetectPolicy, corpus: Sequence[Series], done: Callable[[], None]
) -> Sequence[Mapping[float, Told]]:
    """Every series, on all cores; *done* is called after each."""
    found: list[Mapping[float, Told]] = []
    # Not forked: a child of a process with threads waits for ever for a lock that one of them held.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for told in pool.map(watch_all, repeat(policy), corpus):
            found.append(told)
            done()
    return found


@dataclass(frozen=True)
class Results:
    """Every threshold on every series of a corpus."""

    corpus: Sequence[Series]
    told: Sequence[Mapping[float, Told]]

    @cached_property
    def tallies(self) -> Mapping[float, Sequence[Tally]]:
        """What the alarms were, by threshold."""
        pairs = list(zip(self.corpus, self.told, strict=True))
        return {
            each: [tally(series, told[each].alarms) for series, told in pairs]
            for each in THRESHOLDS
        }

    def fixed(self, profile: Profile) -> float:
        return score(self.corpus, self.tallies[FIXED], profile)

    def best(self, profile: Profile, without: str = "") -> float:
        """The threshold that is best on all series but those of one category (or file)."""
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
        """Each series (or category) with the threshold that is best on all others."""
        tallies = []
        for n, series in enumerate(self.corpus):
            threshold = self.best(profile, series.category if by_category else series.name)
            tallies.append(self.tallies[threshold][n])
        return score(self.corpus, tallies, profile)
