"""What the `local` provider answers, one file a prompt."""

from contactship_ai_worker.local_rules import conversation_analysis, lead_summary
from contactship_ai_worker.providers.local import Rules

RULES: dict[str, Rules] = {
    "lead_summary": lead_summary.answer,
    "conversation_analysis": conversation_analysis.answer,
}
