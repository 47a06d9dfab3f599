"""Size and region of the client's company: head counts and places."""

import re
from collections import defaultdict
from functools import lru_cache

from contactship_ai_worker.local_rules.meeting_classification.vocabulary import cue_words, places
from contactship_ai_worker.local_rules.meeting_classification.words import Hit, Phrases, Sentence, Text

SIZES = ((50, "small"), (250, "medium"), (2_000, "large"))
LARGEST = "enterprise"
_MOST_PEOPLE, _SURE_OF_ONE = 5_000_000, 2.0

_NUMBERS = {
    name: value
    for value, names in {
        1: "un uno una one", 2: "dos two", 3: "tres three", 4: "cuatro four", 5: "cinco five", 6: "seis six",
        7: "siete seven", 8: "ocho eight", 9: "nueve nine", 10: "diez ten decena", 11: "once eleven",
        12: "doce twelve docena dozen", 13: "trece thirteen", 14: "catorce fourteen", 15: "quince fifteen",
        16: "dieciseis sixteen", 17: "diecisiete seventeen", 18: "dieciocho eighteen", 19: "diecinueve nineteen",
        20: "veinte twenty veintena", 21: "veintiun veintiuno veintiuna", 22: "veintidos", 23: "veintitres",
        24: "veinticuatro", 25: "veinticinco", 26: "veintiseis", 27: "veintisiete", 28: "veintiocho", 29: "veintinueve",
        30: "treinta thirty", 40: "cuarenta forty fourty", 50: "cincuenta fifty", 60: "sesenta sixty",
        70: "setenta seventy", 80: "ochenta eighty", 90: "noventa ninety", 100: "cien ciento centenar",
        200: "doscientos doscientas", 300: "trescientos trescientas", 400: "cuatrocientos cuatrocientas",
        500: "quinientos quinientas", 600: "seiscientos seiscientas", 700: "setecientos setecientas",
        800: "ochocientos ochocientas", 900: "novecientos novecientas",
    }.items()
    for name in names.split()
}  # fmt: skip
_THOUSAND = frozenset(["mil", "thousand", "miles"])
_HUNDRED = frozenset(["hundred"])
_MILLION = re.compile(r"mill(?:on(?:es)?|ions?)")
_PLURALS = frozenset(["cientos", "centenares", "hundreds"])
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:[.,]\d{3})+")

_STAFF = re.compile(
    r"(?:empleados|empleadas|emplead|colaborador|trabajador|funcionari|profesional|operari|asalariad|employee|staff|"
    r"worker|headcount|planilla|nomina|payroll|personal$|integrantes|trabajamos|dotacion)"
)
_PEOPLE = re.compile(r"(?:personas?$|people$|person$|gente$|almas$)")
_TEAM_BEFORE = re.compile(
    r"(?:(?:\bhoy|\bahora|\bya|\btoday|\bnow) (?:ya )?(?:son|somos|they are|we are)|\bsomos|\bson|\bthere are|\bwe are|"
    r"\b(?:equipo|plantilla|dotacion|team|staff|company) (?:de|of)|\bemplea(?: a)?|\bemploys|\b(?:negocio|empresa) con)"
    r"(?: \w+ente| unos| unas| apenas| casi| about| around| some| como| solo| only)? $"
)
# Behind a number in "somos 12": a thing that is counted, so not people.
_THINGS = re.compile(
    r"(?:anos?|mes(?:es)?|dias?|semanas?|horas?|minutos?|tiendas?|sucursales|locales|sedes|centros|marcas|paises|clientes|"
    r"pedidos|mensajes|consultas|llamadas|years?|months?|weeks?|days?|hours?|stores?|shops?|branches|brands|countries|"
    r"customers|orders|messages|calls|de|por|percent|veces|times|pesos|dolares|euros|soles|sistemas|systems|cosas|plantas|"
    r"hoteles)$"
)
_NOT_STAFF = re.compile(
    r"temporada|season|temporer|contratist|contractor|voluntari|volunteer|clientes|customers|usuarios"
)
_SIZE_WORDS = {
    "multinacional": LARGEST, "multinational": LARGEST, "transnacional": LARGEST, "conglomerado": LARGEST,
    "microempresa": "small", "emprendimiento": "small",
}  # fmt: skip


def size_of(text: Text) -> str | None:
    """By the head count that is told, else by a word such as "multinacional"."""
    counts: list[tuple[float, int]] = []
    for sentence in text.sentences:
        counts += _head_counts(sentence)
    for sentence in text.sentences:
        for index, word in enumerate(sentence.words):
            size = _SIZE_WORDS.get(word.plain)
            if size and not Hit(sentence, index, index + 1).is_negated and (size == LARGEST or not counts):
                return size
    if not counts:
        return None
    _, count = max(counts, key=lambda each: each[0])  # the first of the surest
    return next((name for below, name in SIZES if count < below), LARGEST)


def _head_counts(sentence: Sentence) -> list[tuple[float, int]]:
    words = [word.plain for word in sentence.words]
    found: list[tuple[float, int]] = []
    index = 0
    while index < len(words):
        number, end = _number(words, index)
        if number is None:
            index += 1
            continue
        sure = _is_head_count(words, index, end)
        # "Somos una empresa": an article, not a count.
        is_article = number == 1 and end == index + 1 and sure < _SURE_OF_ONE
        if sure and 1 <= number < _MOST_PEOPLE and not is_article:
            found.append((sure, number))
        index = end
    return found


def _is_head_count(words: list[str], start: int, end: int) -> float:
    """How surely the number at `start`..`end` counts the company's people; 0: it does not."""
    after = words[end : end + 5]
    # "700 y pico de gente", "600 full-time employees"
    while after and after[0] in ("y", "pico", "tantos", "tantas", "de", "full", "time", "or", "so", "odd", "mil"):
        after = after[1:]
    before = " ".join(words[max(0, start - 5) : start]) + " "
    rest = " ".join(words[end : end + 6])
    if _NOT_STAFF.search(rest):
        return 0.3 if after and _STAFF.match(after[0]) else 0.0
    near = after[:2]
    if any(_STAFF.match(word) for word in near):
        return 3.0
    if words[max(0, start - 4) : start] and _STAFF.match(" ".join(words[max(0, start - 1) : start])):
        return 2.5
    if near and _PEOPLE.match(near[0]):
        return 2.0
    if _TEAM_BEFORE.search(before) and not (near and _THINGS.match(near[0])):
        return 1.5
    return 0.0


def _number(words: list[str], at: int) -> tuple[int | None, int]:
    """The number that begins at `at`, in digits or in words, and the index behind it."""
    if _DIGITS.fullmatch(words[at]):
        text = words[at]
        if len(text) > 12:
            return None, at + 1
        value = int(re.sub(r"\D", "", text)) if _GROUPED.fullmatch(text) else int(re.split(r"[.,]", text)[0])
        at += 1
        if at < len(words) and words[at] in _THOUSAND:
            return value * 1_000, at + 1
        if at < len(words) and _MILLION.fullmatch(words[at]):
            return None, at + 1
        return value, at
    if words[at] in _PLURALS:
        return 300, at + 1
    total, part, begin = 0, 0, at
    while at < len(words):
        word = words[at]
        if word in _NUMBERS:
            part += _NUMBERS[word]
        elif word in _HUNDRED:
            part = (part or 1) * 100
        elif word in _THOUSAND:
            total, part = total + (part or 1) * 1_000, 0
        elif not (word in ("y", "and") and at > begin and at + 1 < len(words) and _continues(words, at)):
            break
        at += 1
    if at == begin:
        return None, at + 1
    return total + part, at


def _continues(words: list[str], at: int) -> bool:
    """Whether "y" joins two parts of one number: "treinta y dos", "one hundred and ten"."""
    following, previous = words[at + 1], words[at - 1]
    if following not in _NUMBERS:
        return False
    if previous in _HUNDRED or previous in _THOUSAND:
        return True
    return 30 <= _NUMBERS.get(previous, 0) <= 90 and _NUMBERS[following] < 10


_PLACE_KINDS = {"countries": 2.0, "people": 2.0, "cities": 2.0, "shared": 1.5}


@lru_cache(maxsize=1)
def _gazetteer() -> tuple[Phrases, dict[str, list[tuple[str, str]]]]:
    known: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for region, kinds in places().items():
        for kind, names in kinds.items():
            for name in names:
                known[name].append((region, kind))
    return Phrases(known), known


def region_scores(text: Text) -> dict[str, float]:
    """How much each region has for it; earlier places count more."""
    phrases, known = _gazetteer()
    scores: dict[str, float] = defaultdict(float)
    for name, hits in phrases.find(text).items():
        for region, kind in known[name]:
            # A country that is named ten times is no better known than at once.
            scores[region] += max(_place_weight(text, hit, kind) for hit in hits)
    return scores


def _place_weight(text: Text, hit: Hit, kind: str) -> float:
    words = hit.sentence.words
    is_name = words[hit.start].is_capital
    before = hit.preceding(3)
    nearest = before[-1] if before else ""
    at = cue_words("place_words")
    located = nearest in at or (nearest in ("la", "el", "the", "ciudad") and len(before) > 1 and before[-2] in at)
    if kind != "people" and not is_name:
        return 0.0
    if kind == "shared" and not (located or nearest in cue_words("of_words")):
        return 0.0
    if cue_words("our_words") & set(before) or hit.is_negated:
        return 0.0
    weight = _PLACE_KINDS[kind]
    if located:
        weight *= 1.6
    elif nearest in cue_words("of_words"):
        weight *= 1.2
    # Where somebody else is: "una empresa israelí", "junta con Nueva York".
    if cue_words("elsewhere_words") & set(before):
        weight *= 0.3
    return weight * (1.5 - text.place(hit))
