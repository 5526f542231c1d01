"""What a model may answer: a schema for each briefing, and the answer as it is read back. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from aiops_core.errors import in_words
from aiops_core.models import Record
from llm_enricher.model.briefing import Briefing
from llm_enricher.model.server import ModelFailure

CITED_MOST: Final = 3
CHOSEN_MOST: Final = 3
CAUSE, SENTENCE = 150, 90  # characters: grammars cut a text off at its limit
LONGEST: Final = 1000  # characters that are read of a server without grammars
UNKNOWN: Final = "unknown"

_OBJECT: Final = TypeAdapter(dict[str, Any])
_Sentence = Annotated[str, Field(max_length=LONGEST)]
_Ids = Annotated[tuple[Annotated[str, Field(max_length=40)], ...], Field(max_length=50)]


class ModelAnswer(Record):
    """As the model gave it: nothing of it is believed yet."""

    citations: _Ids = ()
    root_cause: _Sentence
    impact: _Sentence = ""
    narrative: _Sentence = ""
    recommendations: _Ids = ()
    confidence: Literal["high", "medium", "low"] = "medium"


def schema(briefing: Briefing) -> Mapping[str, Any]:
    """JSON schema of an answer; ids are those that exist. Evidence is named before words, and what
    matters most comes first: an answer may be cut off."""
    facts = [fact.id for fact in briefing.facts]
    properties: dict[str, Any] = {
        "citations": _some_of(facts, CITED_MOST, least=1),
        "root_cause": {"type": "string", "maxLength": CAUSE},
    }
    if briefing.offers:
        properties["recommendations"] = _some_of([*briefing.offers], CHOSEN_MOST, least=0)
    properties["impact"] = {"type": "string", "maxLength": SENTENCE}
    properties["narrative"] = {"type": "string", "maxLength": SENTENCE}
    properties["confidence"] = {"type": "string", "enum": ["high", "medium", "low"]}
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def read_answer(text: str, *, cut: bool = False) -> ModelAnswer:
    """Of an answer that was *cut* off what is whole; it must have a cause. Raises ModelFailure for
    what is not by the schema."""
    try:
        said = _OBJECT.validate_json(text, experimental_allow_partial=cut)
        answer = ModelAnswer.model_validate_json(json.dumps(said))
    except ValueError as exc:  # ValidationError is one
        raise ModelFailure("garbage", f"no answer by the schema: {in_words(exc)}") from exc
    return answer.but(
        root_cause=_whole(answer.root_cause, CAUSE),
        impact=_whole(answer.impact, SENTENCE),
        narrative=_whole(answer.narrative, SENTENCE),
    )


def _whole(text: str, most: int) -> str:
    """*text* without a last sentence that was cut off at *most* characters."""
    if len(text) < most or text.endswith((".", "!", "?")):
        return text
    end = max(text.rfind(sign) for sign in (". ", "! ", "? "))
    return text[: end + 1]


def _some_of(ids: list[str], most: int, *, least: int) -> Mapping[str, Any]:
    items = {"type": "string", "enum": ids}
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}
