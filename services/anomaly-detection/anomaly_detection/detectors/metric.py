"""Readings unlike all that was seen of their series, whatever it measures: no limits, no labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import JsonValue, PlainSerializer, PlainValidator, TypeAdapter

from aiops_core.models import MetricSample
from anomaly_detection.detectors.base import (
    Ended,
    Finding,
    Key,
    Lru,
    Memoryless,
    Origin,
    Snapshot,
    Verdict,
    device_of,
    labels,
    short,
)
from anomaly_detection.detectors.domains import DomainOf
from anomaly_detection.detectors.metric_words import Seen, over, why
from anomaly_detection.detectors.series import Episode, Series, moment
from anomaly_detection.detectors.views import View
from anomaly_detection.metric_policy import Kind, Metrics, Named

CALM = 50  # readings of which none is farther than what was told, until an episode may end
WELL = 5  # readings in a row that are as before it
TOLD = 0.5  # score
_SERIES: TypeAdapter[Series] = TypeAdapter(
    Annotated[Any, PlainSerializer(Series.pack), PlainValidator(Series.unpack)]
)
Settings = Callable[[MetricSample], Metrics]


class MetricDetector(Memoryless):
    """One verdict when an episode begins, one end when it is over.

    What is new is not learnt, unless it lasts so long that it must be taken for normal: then the
    episode is closed without a word, because nothing became well.
    """

    name = "metric"

    def __init__(self, settings: Settings, domain: DomainOf, series_kept: int) -> None:
        """*settings* of the series of a reading; *domain* of a service."""
        self._settings = settings
        self._domain = domain
        self.state: Lru[Series] = Lru(series_kept)
        self.score = 0.0  # of the last reading, told or not

    def observe(self, entry: MetricSample, /) -> Sequence[Finding]:
        if not math.isfinite(entry.value):
            return ()
        key = _key(entry)
        series = self.state.get(key, Series).copy()
        findings = self._judge(entry, series)
        self.state.put(key, series)
        return findings

    def _judge(self, entry: MetricSample, series: Series) -> Sequence[Finding]:
        """What *entry* proves; *series*, a copy, takes it in."""
        settings = self._settings(entry)
        before = series.now.last if series.first else entry.value
        if not series.advance(entry.ts.timestamp(), entry.value):
            return ()
        numbers = series.now.look(entry.value, entry.ts, series.season)
        asked = 1 + settings.margin
        seen = _newest(series, numbers, asked, told=True)
        self.score = score(seen.ratio / asked)
        new = self.score >= TOLD and series.known(settings.readings, settings.known_for)
        strange = new or _still_strange(series, numbers, asked)
        findings = self._tell(entry, settings, series, seen if new else None, strange)
        if not strange:
            _learn(entry, series, numbers, entry.value - before)
        given_up = strange and not series.episode.started
        for view, number in numbers.items():
            series.records[view].fade()
            if new or given_up:
                series.records[view].tell(number)
        return findings

    def snapshot(self) -> Snapshot:
        return self.state.dump(_SERIES)

    def image(self) -> Iterator[Snapshot]:
        return self.state.image(_SERIES)

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        """Raises ValueError when *state* is of another kind."""
        self.state.load(_SERIES, state)

    def _tell(
        self,
        sample: MetricSample,
        settings: Metrics,
        series: Series,
        seen: Seen | None,
        strange: bool,
    ) -> Sequence[Finding]:
        """Begin, go on with or end the episode; *seen* is what is new, if anything is."""
        episode = series.episode
        if strange:
            _note(sample, series, new=seen is not None)
        if not episode.started:
            return (self._begin(sample, settings, series, seen),) if seen else ()
        if series.now.readings - episode.new_at < CALM:
            return ()
        if strange:
            if series.seen - episode.started > settings.accept_after.total_seconds():
                series.episode = Episode()  # in silence: nothing became well
            return ()
        if series.now.readings - episode.strange_at < WELL:
            return ()
        end = self._end(sample, settings, series)
        series.episode = Episode()
        return (end,)

    def _begin(
        self, sample: MetricSample, settings: Metrics, series: Series, seen: Seen
    ) -> Verdict:
        episode = series.episode
        episode.started, episode.view, episode.above = series.seen, seen.view, seen.above
        kind = _judgement(settings, seen.view, seen.above)
        return Verdict(
            Origin.of(sample),
            sample.ts,
            anomaly_type=kind.anomaly_type,
            domain=self._domain(sample.service),
            severity=kind.severity,
            score=self.score,
            detector=self.name,
            reason=why(_name(sample), _unit(sample), sample.value, seen, series),
            meta={**sample.labels, "view": seen.view.name.lower(), "since": sample.ts.isoformat()},
            metric=sample.metric,
            value=sample.value,
        )

    def _end(self, sample: MetricSample, settings: Metrics, series: Series) -> Ended:
        episode = series.episode
        kind = _judgement(settings, View(episode.view), bool(episode.above))
        return Ended(
            Origin.of(sample),
            sample.ts,
            anomaly_types=(kind.anomaly_type,),
            detector=self.name,
            reason=over(_name(sample), _unit(sample), sample.value, series),
            started=moment(episode.started),
            metric=sample.metric,
            peak=episode.peak,
        )


def score(ratio: float) -> float:
    """0.5 at the edge of what is told (*ratio* 1), 1 far beyond it."""
    return 1 - (1 - TOLD) / ratio if ratio > 1 else TOLD * ratio


def ratio_of(score: float) -> float:
    """The ratio that has this *score*: the other way round."""
    return (1 - TOLD) / (1 - score) if score > TOLD else score / TOLD


def _key(sample: MetricSample) -> Key:
    names = (sample.ship_id, device_of(sample), sample.service, sample.metric)
    return short(*names, *labels(sample))


def _newest(series: Series, numbers: Mapping[View, float], asked: float, *, told: bool) -> Seen:
    """The view whose number is farthest beyond all that was seen (and *told*); the value itself, if
    that is new, because it is what people see."""
    haste = series.haste()
    best = Seen(View.VALUE, 0.0, 0.0, True)
    for view, number in numbers.items():
        record = series.records[view]
        ratio = record.ratio(number, told=told) / haste
        above = number >= record.centre
        if ratio > best.ratio and series.believes(view, above):
            best = Seen(view, number, ratio, above)
        if best.view is View.VALUE and best.ratio >= asked:
            break
    return best


def _still_strange(series: Series, numbers: Mapping[View, float], asked: float) -> bool:
    """Whether the episode goes on: what was told is still beyond what was learnt."""
    going_on = series.episode.started > 0
    return going_on and _newest(series, numbers, asked, told=False).ratio >= asked


def _learn(
    sample: MetricSample, series: Series, numbers: Mapping[View, float], step: float
) -> None:
    series.now.learn(sample.value, step)
    series.season.learn(sample.ts, sample.value)
    for view, number in numbers.items():
        series.records[view].learn(number)


def _note(sample: MetricSample, series: Series, *, new: bool) -> None:
    episode = series.episode
    episode.strange_at = series.now.readings
    if new:
        episode.new_at = series.now.readings
    away = abs(sample.value - series.records[View.VALUE].centre)
    if away >= episode.away:
        episode.away, episode.peak = away, sample.value


def _judgement(settings: Metrics, view: View, above: bool) -> Named:
    kinds = {View.MEAN: Kind.SHIFT, View.SHIFT: Kind.SHIFT}
    if view is View.NOISE:
        return settings.kinds[Kind.UNSTEADY if above else Kind.STUCK]
    return settings.kinds[kinds.get(view, Kind.OUTLIER)]


def _name(sample: MetricSample) -> str:
    return f"{sample.metric} on {device_of(sample)}"


def _unit(sample: MetricSample) -> str:
    return f" {sample.unit}" if sample.unit else ""
