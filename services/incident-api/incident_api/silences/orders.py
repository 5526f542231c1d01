"""Pure: what operators order, as silences; refused when it hides too much, too long, or never anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from aiops_core.suppression.policy import NeverSuppress, SuppressPolicy
from aiops_core.suppression.silences import Matcher, Silence, too_broad
from incident_api.problems import Problem
from incident_api.silences.models import EditSilence, NewSilence


def refusal(matchers: Sequence[Matcher], policy: SuppressPolicy) -> str | None:
    """Why there may be no silence with *matchers*, None when there may."""
    return too_broad(matchers, policy.silences.not_alone) or policy.never_suppress.refusal(
        tuple(matchers)
    )


def drafted(
    new: NewSilence, silence_id: str, actor: str, now: datetime, policy: SuppressPolicy
) -> Silence:
    """The silence that is ordered. A Problem (422) with the reason why not."""
    matchers = tuple(Matcher.parse(text) for text in new.matchers)
    if why := refusal(matchers, policy):
        raise Problem(422, f"body.matchers: {why}")
    start = new.start or now
    end = new.end or max(start, now) + (new.lasting or policy.silences.longest)
    _check_end(end, start, now, policy)
    return Silence(
        id=silence_id,
        matchers=matchers,
        owner=new.owner,
        reason=new.reason,
        start=start,
        end=end,
        created_at=now,
        created_by=actor,
        updated_at=now,
        updated_by=actor,
    )


def edited(
    silence: Silence, edit: EditSilence, actor: str, now: datetime, policy: SuppressPolicy
) -> Silence:
    """*silence* after *edit*. A Problem: 409 when it is over, 422 for an end that may not be."""
    if silence.state(now) == "expired":
        raise Problem(
            409, f"silence {silence.id} ended at {silence.end:%Y-%m-%d %H:%M} UTC; add a new one"
        )
    end = edit.end or silence.end
    if edit.lasting:
        end = max(silence.start, now) + edit.lasting
    if end != silence.end:
        _check_end(end, silence.start, now, policy)
    return silence.model_copy(
        update={
            "end": end,
            "owner": edit.owner or silence.owner,
            "reason": edit.reason or silence.reason,
            "updated_at": now,
            "updated_by": actor,
        }
    )


def ended(silence: Silence, actor: str, now: datetime) -> Silence:
    """*silence*, over at once; one that had not begun never did."""
    if silence.state(now) == "expired":
        return silence
    over = {"start": min(silence.start, now), "end": now}
    return silence.model_copy(update=over | {"updated_at": now, "updated_by": actor})


def never_hides(matchers: Sequence[Matcher], never: NeverSuppress) -> Iterator[str]:
    """What *matchers* would match, but the policy keeps visible."""
    for name, values in (("severity", never.severities), ("anomaly_type", never.anomaly_types)):
        about = [matcher for matcher in matchers if matcher.name == name]
        for value in values:
            if all(matcher.matches({name: (str(value),)}) for matcher in about):
                yield f"{name}={value}"


def _check_end(end: datetime, start: datetime, now: datetime, policy: SuppressPolicy) -> None:
    if end <= max(start, now):
        raise Problem(422, "body.end: it must lie in the future and after the start")
    longest = policy.silences.longest
    if end - max(start, now) > longest:
        days = longest.total_seconds() / 86_400
        raise Problem(
            422, f"body.end: a silence lasts at most {days:g} days; it can be extended later"
        )
