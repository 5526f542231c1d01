"""Bodies of ``/api/v3/silences``, and which silences operators may set. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from aiops_core.models import Severity, UtcDatetime
from aiops_core.suppression.labels import Labels
from aiops_core.suppression.policy import NeverSuppress, SuppressPolicy
from aiops_core.suppression.silences import Line, Matcher, Matchers, Silence, State
from incident_api.problems import EditBody, Problem, RequestBody


class NewSilence(RequestBody):
    """All matchers must fit: LABEL=VALUE, with =, !=, =~ or !~; expressions match whole values."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "matchers": ["device_id=sw-acc-d05", "anomaly_type=~link_.*"],
                    "ends_at": "2026-06-01T14:00:00Z",
                    "created_by": "eto",
                    "comment": "cable on deck 5 is being replaced",
                }
            ]
        },
    )

    matchers: Matchers
    starts_at: UtcDatetime | None = Field(None, description="Default: now.")
    ends_at: UtcDatetime
    created_by: Line = Field(description="The owner, who answers for it.")
    comment: Line = Field(description="Why.")


class EditSilence(EditBody):
    """Fields that are left out stay. Other matchers are another silence."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ends_at": "2026-06-01T16:00:00Z"}]},
    )

    ends_at: UtcDatetime | None = None
    created_by: Line | None = None
    comment: Line | None = None


class SilenceView(Silence):
    """A silence, and how many anomalies it has hidden."""

    state: State
    created_by: Line = Field(description="The owner, who answers for it.")
    updated_by: str = Field(description="The user or role that made the last change.")
    hidden: int | None = Field(
        description="Anomalies that it has hidden so far; null while ClickHouse is away."
    )
    last_matched_at: UtcDatetime | None
    never_hides: list[str] = Field(
        description="Anomalies that match and stay visible, by never_suppress of the policy.",
        examples=[["severity=critical"]],
    )


class PreviewCount(BaseModel):
    """Anomalies that have the most important labels in common."""

    anomaly_type: str
    device_id: str
    service: str
    severity: str
    number: int


class Preview(BaseModel):
    """Anomalies that a silence with these matchers would have hidden."""

    time_range: str = Field(examples=["24h"])
    matchers: Matchers
    anomalies: int = Field(description="All in the span.")
    hidden: int
    never_hidden: int = Field(
        description="They match, but never_suppress of the policy names them."
    )
    refused: str | None = Field(
        description="Why such a silence would be refused; null: it would not."
    )
    top: list[PreviewCount] = Field(description="The 20 most frequent that it would hide.")


def refusal(matchers: Sequence[Matcher], policy: SuppressPolicy) -> str | None:
    """Why there may be no silence with *matchers*; None when there may."""
    broad = too_broad(matchers, policy.silences.not_alone)
    return broad or in_vain(matchers, policy.never_suppress)


def too_broad(matchers: Sequence[Matcher], not_alone: Collection[str]) -> str | None:
    """Why *matchers* hide more than a silence may; None when they may.

    At least one must be positive, specific, and about a label that is not in *not_alone*.
    """
    naming = {matcher.name for matcher in matchers if matcher.names_something}
    if not naming:
        return (
            "it would hide nearly everything: at least one matcher must name what is meant, with ="
            " or =~ and a value that is neither empty nor matched by anything"
        )
    if naming <= set(not_alone):
        broad = ", ".join(sorted(naming))
        return f"{broad} alone is too broad; add a device_id or an anomaly_type, for example"
    return None


def in_vain(matchers: Sequence[Matcher], never: NeverSuppress) -> str | None:
    """Why a silence with *matchers* could never hide anything; None when it could."""
    visible: dict[str, set[str]] = {
        "severity": {str(severity) for severity in never.severities},
        "anomaly_type": set(never.anomaly_types),
    }
    for matcher in matchers:
        if matcher.words and set(matcher.words) <= visible.get(matcher.name, set()):
            return f"{matcher} is never hidden: never_suppress of policies/correlate.yaml names it"
    return None


def created(
    new: NewSilence, silence_id: str, actor: str, now: datetime, policy: SuppressPolicy
) -> Silence:
    """The silence that is asked for, or a Problem (422) with the reason why not."""
    if why := refusal(new.matchers, policy):
        raise Problem(422, f"body.matchers: {why}")
    starts_at = new.starts_at or now
    _check_end(new.ends_at, starts_at, now, policy)
    times = {"starts_at": starts_at, "created_at": now, "updated_at": now}
    known = {"id": silence_id, "updated_by": actor}
    return Silence.model_validate(dict(new) | times | known)


def edited(
    silence: Silence, edit: EditSilence, actor: str, now: datetime, policy: SuppressPolicy
) -> Silence:
    """*silence* after *edit*. Problem 409 when it has expired, 422 when its end may not be."""
    if silence.state_at(now) == "expired":
        ended_at = f"{silence.ends_at:%Y-%m-%d %H:%M} UTC"
        raise Problem(409, f"silence {silence.id} ended at {ended_at}; add a new one")
    changes = edit.model_dump(exclude_none=True)
    if changes.get("ends_at", silence.ends_at) != silence.ends_at:
        _check_end(changes["ends_at"], silence.starts_at, now, policy)
    return silence.model_copy(update=changes | {"updated_at": now, "updated_by": actor})


def ended(silence: Silence, actor: str, now: datetime) -> Silence:
    """*silence*, expired from *now* on; a pending one never starts."""
    if silence.state_at(now) == "expired":
        return silence
    times = {"starts_at": min(silence.starts_at, now), "ends_at": now, "updated_at": now}
    return silence.model_copy(update=times | {"updated_by": actor})


def never_hides(matchers: Sequence[Matcher], never: NeverSuppress) -> Iterator[str]:
    """Labels that *matchers* fit and that the policy keeps visible."""
    for name, values in (("severity", never.severities), ("anomaly_type", never.anomaly_types)):
        about = [matcher for matcher in matchers if matcher.name == name]
        for value in values:
            if all(matcher.matches({name: (str(value),)}) for matcher in about):
                yield f"{name}={value}"


def _check_end(
    ends_at: datetime, starts_at: datetime, now: datetime, policy: SuppressPolicy
) -> None:
    begins, longest = max(starts_at, now), policy.silences.longest
    if ends_at <= begins:
        raise Problem(422, "body.ends_at: it must lie in the future and after the start")
    if ends_at - begins > longest:
        days = longest.total_seconds() / 86_400
        raise Problem(
            422, f"body.ends_at: a silence lasts at most {days:g} days; it can be extended later"
        )


SHOWN = ("anomaly_type", "device_id", "service", "severity")
TOP = 20


def preview(
    time_range: str,
    matchers: tuple[Matcher, ...],
    counts: Iterable[tuple[Labels, int]],
    policy: SuppressPolicy,
) -> Preview:
    anomalies = never = 0
    hidden: Counter[tuple[str, ...]] = Counter()
    for labels, number in counts:
        anomalies += number
        if not all(matcher.matches(labels) for matcher in matchers):
            continue
        shown = tuple(labels[name][0] for name in SHOWN)
        if policy.never_suppress.covers(shown[0], Severity(shown[3])):
            never += number
        else:
            hidden[shown] += number
    return Preview(
        time_range=time_range,
        matchers=matchers,
        anomalies=anomalies,
        hidden=hidden.total(),
        never_hidden=never,
        refused=refusal(matchers, policy),
        top=[
            PreviewCount(**dict(zip(SHOWN, shown, strict=True)), number=number)
            for shown, number in hidden.most_common(TOP)
        ],
    )
