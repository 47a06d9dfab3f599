"""`contactship-ai-worker`: everything that asks a language model."""

from contextlib import AsyncExitStack

import structlog

from contactship_ai_worker.budget import budget_of
from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.handlers.analyze_conversation import ConversationAnalyst
from contactship_ai_worker.handlers.classify_meeting import Classify
from contactship_ai_worker.handlers.summarize_call import CallSummarizer
from contactship_ai_worker.handlers.summarize_lead import SummarizeLead
from contactship_ai_worker.handlers.summarize_matching import SummarizeMatching
from contactship_common.classification.categories import load_categories
from contactship_common.runtime import Runtime
from contactship_common.tasks.catalog import (
    AnalyzeConversation,
    ClassifyMeeting,
    LeadSummary,
    LeadSummaryBatch,
    SummarizeCall,
)
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.worker import run_worker

log = structlog.get_logger()

THREADS = 256


def make_handlers(runtime: Runtime, stack: AsyncExitStack) -> dict[str, AnyHandler]:
    """The handlers of the `ai` queue, by kind."""
    settings = runtime.ai
    engine = AIEngine(settings, runtime.redis, budget=budget_of(settings, runtime.db.fast))
    stack.push_async_callback(engine.aclose)
    if runtime.settings.is_production and settings.local_by_default:
        log.warning("ai.local_only", hint="no model key is set; name `local` in AI_PROVIDERS if that is meant")
    runtime.parts["ai"] = engine.health
    log.info("ai.started", providers=list(settings.provider_order))
    return {
        LeadSummary.KIND: SummarizeLead(engine, settings),
        LeadSummaryBatch.KIND: SummarizeMatching(settings),
        AnalyzeConversation.KIND: ConversationAnalyst(engine, settings),
        SummarizeCall.KIND: CallSummarizer(engine, settings),
        ClassifyMeeting.KIND: Classify(engine, settings, load_categories(runtime.settings.classification_file)),
    }


def main() -> None:
    run_worker("ai", make_handlers, default_threads=THREADS)
