"""The texts of a classification: what the labels say in words, and sentences quoted from the transcript."""

import re
from typing import Any

from contactship_ai_worker.local_rules.meeting_classification.labels import Labels
from contactship_ai_worker.local_rules.meeting_classification.words import Sentence, Text
from contactship_common.settings.ai import Language

_TOPIC_FIELDS = ("useCase", "primaryPainPoint", "vambeProduct", "businessSector", "purchaseStage")
_TOPICS, _FEWEST_TOPICS, _TOPIC_CHARS = 5, 2, 80
_ACTIONS, _ACTION_CHARS = 3, 160
_STEPS_CHARS = 400
_QUOTE_CHARS = 220

_WILL_DO = re.compile(
    r"\b(?:le|les|lo|la|te) (?:mando|envio|respondo|llamo|escribo|llevo|dejo|paso|preparo|confirmo|marco|cotizo|"
    r"prometi|adelanto|armo|comparto|agendo|visito)\b|\bqued(?:e|amos|aron?|o) (?:en|de|pendiente)\b|\bllamo el\b|"
    r"\bseguimos\b|\bvolvemos\b|\bnos (?:juntamos|vemos|reunimos)\b|\b(?:la )?proxima semana\b|\bsemana entrante\b|"
    r"\bpasado manana\b|\b(?:arrancamos|empezamos|partimos|empiezan|arranca)\b|\bme pidio\b|\bhay que\b|\bdebo\b|"
    r"\bpidio (?:ver|que|desglosar)\b|\btengo que\b|\b(?:i|we) (?:will|agreed|promised|owe)\b|\bfollow up\b|"
    r"\bnext (?:week|step|time|month)\b|\bsend (?:him|her|them)\b|\b(?:rollout|onboarding) (?:is|begins|starts)\b|"
    r"(?:\by|,) manana\b|\btomorrow\b"
)

_PHRASES: dict[str, dict[str, str]] = {
    "es": {
        "summary": "Reunión de ventas{about}.",
        "businessSector": " con un cliente del rubro {}",
        "useCase": ", interesado en {}",
        "primaryPainPoint": "; su mayor problema es {}",
        "lost": " El cliente no sigue o la reunión terminó mal",
        "ended": " Al final se dijo",
        "keep": "Cumplir lo dicho en la reunión",
        "do_lost": "Registrar por qué no siguió la oportunidad.",
        "do_closure": "Confirmar con el cliente la puesta en marcha.",
        "do_negotiation": "Dar seguimiento a la propuesta con el cliente.",
        "do_other": "Confirmar con el cliente el próximo paso.",
        "none": "La transcripción no dice cuál es el próximo paso.",
        "topic_1": "reunión de ventas",
        "topic_2": "próximos pasos",
    },
    "en": {
        "summary": "Sales meeting{about}.",
        "businessSector": " with a client in {}",
        "useCase": ", interested in {}",
        "primaryPainPoint": "; the main problem is {}",
        "lost": " The client declined or the meeting ended badly",
        "ended": " At the end it was said",
        "keep": "Do what was said in the meeting",
        "do_lost": "Record why the opportunity was lost.",
        "do_closure": "Confirm the start with the client.",
        "do_negotiation": "Follow up on the proposal with the client.",
        "do_other": "Confirm the next step with the client.",
        "none": "The transcript does not say what the next step is.",
        "topic_1": "sales meeting",
        "topic_2": "next steps",
    },
}  # fmt: skip

_SPANISH: dict[str, str] = {
    "retail": "comercio minorista", "ecommerce": "comercio electrónico", "financial_services": "servicios financieros",
    "insurance": "seguros", "healthcare": "salud", "pharmaceuticals": "farmacéutica", "energy": "energía",
    "utilities": "servicios públicos", "telecom": "telecomunicaciones",
    "transportation_logistics": "transporte y logística", "tourism_hospitality": "turismo y hotelería",
    "education": "educación", "government": "sector público", "agroindustry": "agroindustria",
    "manufacturing": "manufactura", "construction": "construcción", "mining": "minería",
    "media_entertainment": "medios y entretenimiento", "software_saas": "software", "real_estate": "inmobiliario",
    "food_beverages": "alimentos y bebidas", "cpg": "consumo masivo", "automotive": "automotor",
    "ngo": "organizaciones sin fines de lucro", "human_resources": "recursos humanos",
    "lead_scoring": "calificación de leads", "customer_segmentation": "segmentación de clientes",
    "churn_prediction": "predicción de fuga de clientes", "marketing_attribution": "atribución de marketing",
    "campaign_optimization": "optimización de campañas", "demand_forecasting": "pronóstico de demanda",
    "voice_analytics": "análisis de llamadas", "operations_automation": "automatización de operaciones",
    "real_time_reporting": "reportes en tiempo real", "dw_modernization": "modernización del almacén de datos",
    "fraud_detection": "detección de fraude", "conversational_support": "atención conversacional",
    "lack_visibility": "falta de visibilidad", "slow_reporting": "reportes lentos",
    "low_conversion": "baja conversión", "high_churn": "fuga de clientes",
    "high_advertising_costs": "alto costo de publicidad", "difficult_integrations": "integraciones difíciles",
    "regulatory_compliance": "cumplimiento normativo", "dispersed_data": "datos dispersos",
    "saturated_support": "atención saturada", "scalability": "escalabilidad", "discovery": "exploración",
    "negotiation": "negociación", "closure": "cierre", "mercur": "Mercur", "iris": "Iris", "ads": "Ads", "axis": "Axis",
}  # fmt: skip


def texts(text: Text, labels: Labels, language: Language) -> dict[str, Any]:
    """`summary`, `keyTopics`, `actionItems`, `nextSteps`; quotations stay in the transcript's own language."""
    tongue = labels.language if language == "auto" else language
    phrases = _PHRASES[tongue]
    steps = [sentence for sentence in text.sentences if _WILL_DO.search(sentence.plain)]
    return {
        "summary": _summary(text, labels, phrases, tongue),
        "keyTopics": _topics(labels, phrases, tongue),
        "actionItems": _actions(steps, labels, phrases),
        "nextSteps": _quoted("", steps[-1], _STEPS_CHARS) if steps else phrases["none"],
    }


def _summary(text: Text, labels: Labels, phrases: dict[str, str], tongue: str) -> str:
    about = "".join(
        phrases[name].format(_in_words(value, tongue))
        for name in ("businessSector", "useCase", "primaryPainPoint")
        if (value := labels.categories.get(name))
    )
    first = phrases["summary"].format(about=about)
    if not text.sentences:
        return first
    opening = phrases["lost"] + ": " if labels.lost else phrases["ended"] + ": "
    return first + _quoted(opening, text.sentences[-1], _QUOTE_CHARS) + "."


def _topics(labels: Labels, phrases: dict[str, str], tongue: str) -> list[str]:
    named = [value for name in _TOPIC_FIELDS if (value := labels.categories.get(name))]
    # A company's own categories, where none of ours is configured.
    named += [v for name, v in labels.categories.items() if v and name not in _TOPIC_FIELDS and not named]
    topics = list(dict.fromkeys(_short(_in_words(value, tongue), _TOPIC_CHARS) for value in named))[:_TOPICS]
    if len(topics) < _FEWEST_TOPICS:
        topics += [phrases["topic_1"], phrases["topic_2"]]
    return [topic for topic in topics if len(topic) > 1][:_TOPICS]


def _actions(steps: list[Sentence], labels: Labels, phrases: dict[str, str]) -> list[str]:
    quoted = [_quoted(phrases["keep"] + ": ", step, _ACTION_CHARS) for step in steps[-(_ACTIONS - 1) :]]
    stage = labels.categories.get("purchaseStage")
    todo = phrases["do_lost"] if labels.lost else phrases.get(f"do_{stage}", phrases["do_other"])
    return [*dict.fromkeys(quoted), todo]


def _quoted(opening: str, sentence: Sentence, chars: int) -> str:
    """`opening` and the sentence in quotation marks, in at most `chars` characters."""
    # Inside the quotation no mark that would look like its end.
    said = sentence.text.replace("«", '"').replace("»", '"').strip(" \t\"'“”—-")
    said = said.rstrip(".") or "…"
    return f"{opening}«{_short(said, chars - len(opening) - 2)}»"


def _short(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1].rstrip() + "…"


def _in_words(value: str, tongue: str) -> str:
    spelled = value.replace("_", " ")
    return _SPANISH.get(value, spelled) if tongue == "es" else spelled
