"""Learning detectors of log lines, each with lines of which it finds some wrong: for the battery.

Time is in seconds after noon. Every entry is (make, entries, what else the battery must know).
"""

from anomaly_detection.detectors.lines import Lines
from anomaly_detection.detectors.mix import MixDetector
from anomaly_detection.detectors.new_template import NewTemplateDetector
from anomaly_detection.detectors.rate import RateDetector
from anomaly_detection.detectors.silence import SilenceDetector
from anomaly_detection.layers import DetectorTuning
from anomaly_detection.rules import (
    DropRule,
    ExcessRule,
    MixRule,
    NewTemplateRule,
    RateRule,
    SilenceRule,
    Templates,
)
from tests.conftest import line

KEPT = 20
TOLD = {"anomaly_type": "t", "severity": "low", "score": 0.5}

NEW = NewTemplateRule(warm_up="PT1M", most_per_day=3, **TOLD)
RATE = RateRule(window="PT10S", warm_up="PT1M", least=5, factor=2, **TOLD)
DROP = DropRule(least=4, windows=2, **TOLD)
MIX = MixRule(window="PT10S", warm_up="PT1M", least=10, share=0.4, factor=1.5, **TOLD)
SILENCE = SilenceRule(warm_up="PT1M", lines=10, least="PT20S", factor=3, **TOLD)
ERROR = ExcessRule(least=5, factor=2, **TOLD)
RULES = Templates(kept=KEPT, new=NEW, rate=RATE, drop=DROP, errors=ERROR, mix=MIX, silence=SILENCE)


def tuning(_ship, _service, _device):
    return DetectorTuning()


def said(texts, start=0.0, every=1.0, **fields):
    return [line(text, n=start + every * n, **fields) for n, text in enumerate(texts)]


def words(count):
    """Texts of which none resembles another."""
    return [chr(ord("a") + n // 26) + chr(ord("a") + n % 26) for n in range(count)]


def by_time(*streams):
    return sorted((entry for stream in streams for entry in stream), key=lambda entry: entry.ts)


def new_template():
    return NewTemplateDetector(NEW, Lines(4), tuning, KEPT // 2)


def rate():
    return RateDetector(RULES, Lines(KEPT), lambda entry: entry.msg == "harmless", tuning, KEPT)


def mix():
    return MixDetector(MIX, Lines(KEPT), tuning, KEPT)


def silence():
    return SilenceDetector(SILENCE, tuning, KEPT)


TICKS = said(["tick"] * 200)
# 100 s as ever, a flood of 10 s, 50 s as ever
FLOOD = by_time(TICKS[:160], said(["tick"] * 60, start=100.5, every=0.16))
# every second a tick and a tock; no tick for 40 s
GONE = by_time(
    said(["tick"] * 100), said(["tick"] * 40, start=140), said(["tock"] * 180, start=0.5)
)
ERRORS = by_time(
    said(["fine"] * 200),
    said(words(6) * 2, start=0.3, every=10, level="error"),
    said(words(6) * 4, start=112.3, every=0.2, level="error"),
)
# two words by turns, then one of them and one that is rare, then as before
TURNS = said(["tick", "tock"] * 60 + ["tick"] * 3 + ["rare"] * 40 + ["tick", "tock"] * 40)
# two devices of one host; one of them is silent for a minute
LOST = by_time(
    said(["a"] * 100, device_id="srv-1a", service="unknown"),
    said(["a"] * 60, start=160, device_id="srv-1a", service="unknown"),
    said(["b"] * 220, start=0.5, device_id="srv-1b", service="unknown"),
)

LOG_DETECTORS = {
    "new_template": (new_template, said(["tick"] * 70 + words(6) + ["tick"] * 9), {"quiet": 60}),
    "rate spike": (rate, FLOOD, {"quiet": 60}),
    "rate drop": (rate, GONE, {"quiet": 120}),
    "error burst": (rate, ERRORS, {"quiet": 60}),
    "mix": (mix, TURNS, {"quiet": 60}),
    "silence": (silence, LOST, {"quiet": 120}),
}
