"""When a meeting's classification is of its transcript as it is: one condition for the gateway's statements."""

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.models.meeting import Meeting, MeetingClassification


def has_classification() -> sa.ColumnElement[bool]:
    """The meeting of the statement around this has a current classification, of whichever transcript."""
    return (
        sa.exists()
        .where(col(MeetingClassification.meeting_id) == col(Meeting.id), col(MeetingClassification.is_current))
        .correlate(Meeting)
    )


def is_fresh() -> sa.ColumnElement[bool]:
    """The meeting of the statement around this has a classification of the transcript that it has now."""
    return (
        sa.exists()
        .where(
            col(MeetingClassification.meeting_id) == col(Meeting.id),
            col(MeetingClassification.is_current),
            col(MeetingClassification.transcript_at) == col(Meeting.transcript_changed_at),
        )
        .correlate(Meeting)
    )
