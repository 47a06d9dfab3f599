"""Shapes with the configured categories: made once, when the application is put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field, create_model

from contactship_api.classifications.schemas import ClassificationFixed, ListQuery, PageOf
from contactship_common.classification.categories import Category
from contactship_common.models import MeetingClassification


@dataclass(frozen=True, slots=True)
class Row:
    """A classification beside what is shown of its meeting."""

    classification: MeetingClassification
    client_id: UUID
    seller_id: UUID
    meeting_at: datetime
    transcript_changed_at: datetime | None


class Shapes:
    """`one` is a classification, `detail` one with its history, `page` a page of them, `query` what they can be
    filtered by."""

    def __init__(self, categories: Sequence[Category]) -> None:
        self.categories = tuple(categories)
        self._allowed = {category.name: frozenset(category.values) for category in categories}
        # With an alias of their own: the generator would turn `a1b` into `a1B`.
        shown: dict[str, Any] = {
            c.name: (Literal[tuple(c.values)] | None, Field(alias=c.name, description=c.about)) for c in categories
        }
        asked: dict[str, Any] = {
            c.name: (Literal[tuple(c.values)] | None, Field(None, alias=c.name, description=c.about))
            for c in categories
        }
        self.one: type[ClassificationFixed] = create_model("Classification", __base__=ClassificationFixed, **shown)
        history: dict[str, Any] = {"history": (list[self.one], ...)}  # type: ignore[name-defined]
        self.detail: type[ClassificationFixed] = create_model(
            "ClassificationDetail",
            __base__=self.one,
            __doc__="The current classification, and earlier ones in `history`, newest first (100 at most).",
            **history,
        )
        data: dict[str, Any] = {"data": (list[self.one], ...)}  # type: ignore[name-defined]
        self.page: type[PageOf] = create_model("ClassificationPage", __base__=PageOf, **data)
        self.query: type[ListQuery] = create_model("ClassificationQuery", __base__=ListQuery, **asked)

    def shown(self, row: Row) -> dict[str, Any]:
        """The fields of `one`. A value that today's categories do not have (they were others then) is null."""
        found = row.classification
        known = {name: label for name, label in found.labels.items() if label in self._allowed.get(name, ())}
        return {
            **{name: known.get(name) for name in self._allowed},
            "meeting_id": found.meeting_id,
            "client_id": row.client_id,
            "seller_id": row.seller_id,
            "meeting_at": row.meeting_at,
            "urgency": found.urgency,
            "language": found.language,
            "lost_client_bad_meeting": found.lost_client_bad_meeting,
            "sentiment": found.sentiment,
            "confidence_score": float(found.confidence_score),
            "key_topics": found.key_topics,
            "action_items": found.action_items,
            "next_steps": found.next_steps,
            "summary": found.summary,
            "corrected_fields": found.corrected_fields,
            "outdated": found.transcript_at != row.transcript_changed_at,
            "provider": found.provider,
            "model_used": found.model_used,
            "prompt_version": found.prompt_version,
            "processed_at": found.processed_at,
            "processing_time_ms": found.processing_time_ms,
        }

    def out(self, row: Row) -> ClassificationFixed:
        return self.one.model_validate(self.shown(row))

    def labels_asked(self, query: ListQuery) -> dict[str, str]:
        """The categories that the list is narrowed to."""
        asked = {category.name: getattr(query, category.name) for category in self.categories}
        return {name: value for name, value in asked.items() if value is not None}
