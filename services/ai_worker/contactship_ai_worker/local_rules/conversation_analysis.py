"""A conversation's priority and tags by keywords in Spanish and English: says only what stands in the messages."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from contactship_ai_worker.conversation_analysis import SUMMARY_MAX_CHARS, ConversationAnalysisOutput
from contactship_ai_worker.fence import clean
from contactship_common.models import Priority
from contactship_common.settings.ai import Language

# Beginnings of words, without accents.
_TAGS: dict[str, tuple[str, ...]] = {
    "precio": ("precio", "cuesta", "costo", "cotiza", "presupuesto", "tarifa", "price", "pricing", "quote", "cost"),
    "pago": ("pago", "pagar", "factura", "cobro", "tarjeta", "transferencia", "payment", "invoice", "charge"),
    "reclamo": ("reclamo", "queja", "reembols", "devolucion", "devuelv", "complaint", "refund", "estafa"),
    "soporte": ("error", "falla", "no funciona", "no anda", "problema", "ayuda", "soporte", "broken", "issue", "help",
                "not working", "doesn't work"),
    "envio": ("envio", "entrega", "despacho", "paquete", "seguimiento", "shipping", "delivery", "tracking"),
    "reunion": ("reunion", "agendar", "agenda", "llamada", "demo", "videollamada", "meeting", "schedule", "call me"),
    "compra": ("comprar", "contratar", "quiero el plan", "adquirir", "buy", "purchase", "sign up"),
    "baja": ("dar de baja", "cancelar", "cancelacion", "cancel", "unsubscribe"),
    "integracion": ("integra", "api", "conectar", "crm", "erp", "integration", "connect"),
}  # fmt: skip
_ENGLISH = {
    "precio": "pricing", "pago": "payment", "reclamo": "complaint", "soporte": "support", "envio": "shipping",
    "reunion": "meeting", "compra": "purchase", "baja": "cancellation", "integracion": "integration",
    "consulta": "question",
}  # fmt: skip
_URGENT = (
    "urgente", "urgencia", "cuanto antes", "ya mismo", "inmediat", "ahora mismo", "hoy mismo", "no puedo esperar",
    "urgent", "asap", "right now", "immediately", "emergency",
)  # fmt: skip
_HIGH_TAGS = frozenset({"reclamo", "baja", "compra"})
_CLOSING = re.compile(r"^\W*(muchas |mil )?(gracias|listo|perfecto|genial|ok|dale|thanks|thank you|great|perfect)\b")


def answer(facts: Mapping[str, Any], language: Language) -> ConversationAnalysisOutput:
    """The same for the same messages."""
    messages = [(str(line.get("sender", "")), _flat(line.get("text"))) for line in facts.get("messages") or []]
    english = language == "en"
    said = " ".join(text for sender, text in messages if sender == "lead")
    plain = _plain(said)
    tags = [tag for tag, words in _TAGS.items() if any(_begins(word, plain) for word in words)][:5]
    return ConversationAnalysisOutput(
        summary=_summary(messages, english=english),
        priority=_priority(messages, plain, tags),
        tags=[_ENGLISH[tag] if english else tag for tag in tags or ["consulta"]],
    )


def _priority(messages: list[tuple[str, str]], plain: str, tags: list[str]) -> Priority:
    last_sender, last_text = messages[-1] if messages else ("", "")
    waiting = last_sender == "lead" and not _CLOSING.match(_plain(last_text))
    if waiting and (any(word in plain for word in _URGENT) or _HIGH_TAGS & set(tags)):
        return Priority.HIGH
    return Priority.MEDIUM if waiting else Priority.LOW


def _summary(messages: list[tuple[str, str]], *, english: bool) -> str:
    by_lead = [text for sender, text in messages if sender == "lead" and text]
    if not by_lead:
        return "The lead has not written yet." if english else "El lead todavía no ha escrito."
    waiting = messages[-1][0] == "lead"
    if english:
        opening = "The lead waits for an answer" if waiting else "The agent wrote last"
    else:
        opening = "El lead espera respuesta" if waiting else "El agente respondió por última vez"
    quoted = f"{opening}. " + ("Last from the lead" if english else "Lo último del lead") + ": «"
    room = SUMMARY_MAX_CHARS - len(quoted) - 2
    text = by_lead[-1]
    return quoted + (text if len(text) <= room else text[: room - 1].rstrip() + "…") + "»."


def _begins(word: str, plain: str) -> bool:
    return re.search(rf"\b{re.escape(word)}", plain) is not None


def _flat(value: object) -> str:
    return " ".join(clean(str(value or "")).split())


def _plain(text: str) -> str:
    """Lower case without accents."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(char for char in decomposed if not unicodedata.combining(char))
