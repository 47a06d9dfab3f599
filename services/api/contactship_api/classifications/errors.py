"""Why a meeting is not classified, or has no classification."""

from contactship_common.errors import NotFound, Unprocessable


class ClassificationNotFound(NotFound):
    code, title = "classification_not_found", "There is no classification of a meeting with this id"


class MeetingWithoutTranscript(Unprocessable):
    code, title = "meeting_without_transcript", "This meeting has no transcript to classify"
