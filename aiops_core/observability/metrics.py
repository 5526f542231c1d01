"""Every metric the platform exports, with its meaning; dashboards and alerts quote these names."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_INSIGHT = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5, 10, 30, 60, 120)

FAST_PATH_LATENCY = Histogram(
    "aiops_fast_path_latency_seconds",
    "From ingest of a line to its incident in the store, seconds.",
    buckets=_FAST,
)
FAST_PATH_REQUESTS = Counter(
    "aiops_fast_path_requests_total", "Anomalies that reached the store or were buried on the way."
)
FAST_PATH_ERRORS = Counter(
    "aiops_fast_path_errors_total", "Messages that a fast-path service buried as dead letters."
)
INSIGHT_PATH_LATENCY = Histogram(
    "aiops_insight_path_latency_seconds",
    "From an incident's creation to its first explanation, seconds.",
    buckets=_INSIGHT,
)
INSIGHT_PATH_REQUESTS = Counter(
    "aiops_insight_path_requests_total", "Incidents that asked for an explanation."
)
INSIGHT_PATH_ERRORS = Counter(
    "aiops_insight_path_errors_total", "Incidents that got no explanation."
)
STAGE_LATENCY = Histogram(
    "aiops_stage_latency_seconds",
    "From the previous stage of a message to this one, seconds.",
    ["stage"],
    buckets=_FAST,
)
HANDLED = Counter(
    "aiops_messages_handled_total",
    "Messages by outcome: ok, failed (will be retried), or buried as malformed, rejected, "
    "abandoned or refused (what it causes is too large).",
    ["service", "outcome"],
)
HANDLE_SECONDS = Histogram(
    "aiops_handle_seconds",
    "From taking a batch of messages to their acknowledgement, seconds.",
    ["service"],
    buckets=_FAST,
)
CONSUMER_LAG = Gauge(
    "aiops_consumer_lag", "Messages that wait for the service or are not acknowledged.", ["service"]
)
DEAD_LETTERS = Counter("aiops_dead_letters_total", "Messages buried, with a reason.", ["service"])
OVERSIZED = Counter(
    "aiops_oversized_total",
    "Messages of a service that are larger than their consumers or the broker take.",
    ["service"],
)
UNREADABLE = Counter(
    "aiops_unreadable_total",
    "Stored entries (of a stream, bucket, table or snapshot) that could not be read back "
    "and were skipped.",
    ["where"],
)
CLOCK_STEPS = Counter(
    "aiops_clock_steps_total",
    "Steps of clocks that detection saw: of a sender (ahead of its arrival, unset, back) "
    "or of this host.",
    ["kind"],
)
DETECTOR_FAILURES = Counter(
    "aiops_detector_failures_total",
    "Entries on which a detector raised; it is asked once more, and left out if it raises again.",
    ["detector"],
)
DISCARDED = Counter(
    "aiops_discarded_total",
    "Messages that a stream discarded before the consumer had read them.",
    ["stream", "consumer"],
)
DEPENDENCY_UP = Gauge(
    "aiops_dependency_up", "1 while the dependency answers, else 0.", ["dependency"]
)
LLM_LATENCY = Histogram(
    "aiops_llm_latency_seconds", "Time the model took for one answer, seconds.", buckets=_INSIGHT
)
LLM_FIRST_TOKEN = Histogram(
    "aiops_llm_first_token_seconds",
    "From the request to the first token of the model's answer, seconds.",
    buckets=_INSIGHT,
)
LLM_TOKENS_PER_SECOND = Histogram(
    "aiops_llm_tokens_per_second",
    "Tokens of one answer per second, its first token excluded where the server does not say.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
LLM_FAILURES = Counter(
    "aiops_llm_failures_total",
    "Questions that the model did not answer, by kind: away, missing, refused, failed, slow, late, "
    "cut_off, garbage, unchecked, unfit or too_slow.",
    ["kind"],
)
LLM_DROPPED = Counter(
    "aiops_llm_dropped_total",
    "Parts of the model's answers that failed a check, by reason: citation, action, number, name, "
    "denial, advice, forbidden, harmful, ruled_out, ungrounded, repeated; abstained: the whole.",
    ["reason"],
)
LLM_ACCEPTED = Gauge(
    "aiops_llm_accepted",
    "1 while the model may be used: it has passed its examination on this host, and is there.",
)
LLM_CACHE_HITS = Counter("aiops_llm_cache_hits_total", "Explanations that came from the cache.")
LLM_CACHE_MISSES = Counter(
    "aiops_llm_cache_misses_total",
    "Look-ups that found no explanation in the cache; hits / (hits + misses) is its hit rate.",
)
LLM_LEFT_OUT = Counter(
    "aiops_llm_left_out_total",
    "Incidents that the model was not asked about: no place in its queue, left its place to a more "
    "severe one, or forgotten as too many others were newer.",
    ["reason"],
)
LLM_BREAKER_OPEN = Gauge(
    "aiops_llm_breaker_open", "1 while the model is asked no more after failures in a row, else 0."
)
LLM_FALLBACKS = Counter(
    "aiops_llm_fallbacks_total", "Explanations by rules instead of the model.", ["reason"]
)
RETRIEVALS = Counter(
    "aiops_retrievals_total",
    "Searches in runbooks and resolved incidents: by words and vectors (`both`), or `words` alone.",
    ["by"],
)
EMBED_SECONDS = Histogram(
    "aiops_embed_seconds",
    "Time the model of embeddings took for one question, seconds.",
    buckets=_FAST,
)
RUNBOOKS_LEFT_OUT = Gauge(
    "aiops_runbooks_left_out", "Runbooks that are not searched: a mistake in them."
)
SUPPRESSED = Counter(
    "aiops_suppressed_total",
    "Anomalies suppressed, by the id of the policy's rule, or by `silence` or `outage`.",
    ["by"],
)
UNACCOUNTED = Gauge(
    "aiops_unaccounted_anomalies",
    "Anomalies of the last day that ended in no incident, suppression or dead letter.",
)
POLLS = Counter(
    "aiops_polls_total",
    "Polls of VictoriaMetrics, by outcome: ok, empty, refused or away.",
    ["poll", "outcome"],
)
SNAPSHOT_AT = Gauge(
    "aiops_snapshot_timestamp_seconds",
    "When the newest snapshot of a service's state was complete, seconds since 1970.",
    ["service"],
)
STATE_SIZE = Gauge("aiops_state_size", "Things a service keeps in memory.", ["service", "kind"])
PACKS_LEFT_OUT = Counter(
    "aiops_packs_left_out_total",
    "Packs of patterns or explanations that are not used: a mistake in them.",
)
