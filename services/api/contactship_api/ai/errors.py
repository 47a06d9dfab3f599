"""What can be wrong with feedback."""

from contactship_common.errors import Conflict, Unprocessable


class MeetingUnknown(Unprocessable):
    code, title = "meeting_not_found", "There is no meeting with the id subjectId"


class LeadUnknown(Unprocessable):
    code, title = "lead_not_found", "There is no lead with the id subjectId"


class ConversationUnknown(Unprocessable):
    code, title = "conversation_not_found", "There is no conversation with the id subjectId that you may see"


class NothingToJudge(Conflict):
    code, title = "nothing_to_judge", "No model has said anything about this yet"


class FieldUnknown(Unprocessable):
    code, title = "field_unknown", "This kind of subject has no such field to judge"


class ValueNotAllowed(Unprocessable):
    code, title = "value_not_allowed", "correctedValue is not one of the field's values"


class CorrectionNotWanted(Unprocessable):
    code, title = "correction_not_wanted", "correctedValue goes with the verdict wrong on one field of a meeting"
