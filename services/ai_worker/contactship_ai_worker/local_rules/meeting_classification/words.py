"""A transcript as words, and phrases that are looked for in it.

A phrase is words with blanks between: `tienda*` is the beginning of a word, `cadena|red` either, `~` stands for up to
four words that may lie between. Phrases are lower case without accents and never reach over the end of a sentence.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from contactship_ai_worker.local_rules.meeting_classification.vocabulary import cue_words

GAP = "~"
_GAP_WORDS = 4
_MOST_PLACES = 40
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
# After any closing mark; an abbreviation cut in two does no harm here.
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'»”)]*\s+|\n+|[;—]\s*")
_NEGATION_REACH = 3


@dataclass(frozen=True, slots=True)
class Word:
    """`plain` is lower case without accents; `before` is what stands between it and the word before."""

    plain: str
    is_capital: bool
    before: str
    start: int


@dataclass(frozen=True)
class Sentence:
    """`number` counts from 0 at the beginning of the transcript."""

    text: str
    words: tuple[Word, ...]
    number: int

    @cached_property
    def plain(self) -> str:
        return plain(self.text)

    def says(self, cue: str) -> bool:
        """Whether any of the cue's words stands in it (`cues.yaml`)."""
        known = self._cues.get(cue)
        if known is None:
            known = self._cues[cue] = any(words in f"{self.plain} " for words in cue_words(cue))
        return known

    @cached_property
    def _cues(self) -> dict[str, bool]:
        return {}


@dataclass(frozen=True, slots=True)
class Hit:
    """A phrase found at words `start`..`end` (excluded) of a sentence."""

    sentence: Sentence
    start: int
    end: int

    @property
    def is_negated(self) -> bool:
        """Whether a negation stands shortly before, in the same clause."""
        words = self.sentence.words
        for index in range(self.start - 1, max(-1, self.start - 1 - _NEGATION_REACH), -1):
            if any(mark in words[index + 1].before for mark in ",:"):
                return False
            if words[index].plain in cue_words("negation_words"):
                return True
        return False

    def preceding(self, count: int) -> list[str]:
        """Up to `count` words before it, the nearest last."""
        return [word.plain for word in self.sentence.words[max(0, self.start - count) : self.start]]


class Text:
    """A transcript in sentences; lower case without accents where words are compared."""

    def __init__(self, text: str) -> None:
        pieces = (piece.strip() for piece in _SENTENCE_END.split(text))
        self.sentences = [Sentence(p, tuple(_words(p)), n) for n, p in enumerate(filter(None, pieces))]

    @cached_property
    def words(self) -> list[str]:
        return [word.plain for sentence in self.sentences for word in sentence.words]

    @cached_property
    def places(self) -> dict[str, list[tuple[Sentence, int]]]:
        """Each different word's places. Of a word that stands there very often the first and the last ones: work
        stays bounded on a text that is one word over and over."""
        found: dict[str, list[tuple[Sentence, int]]] = defaultdict(list)
        for sentence in self.sentences:
            for index, word in enumerate(sentence.words):
                found[word.plain].append((sentence, index))
        return {
            word: each if len(each) <= 2 * _MOST_PLACES else each[:_MOST_PLACES] + each[-_MOST_PLACES:]
            for word, each in found.items()
        }

    def place(self, hit: Hit) -> float:
        """Where in the text it stands: 0 the beginning, 1 the last sentence."""
        return hit.sentence.number / max(1, len(self.sentences) - 1)


def plain(text: str) -> str:
    """Lower case without accents."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _words(text: str) -> Iterator[Word]:
    end = 0
    # English contractions stay one word: "don't" is a negation.
    for found in _WORD.finditer(text.replace("'t ", "t ").replace("’t ", "t ")):
        yield Word(plain(found[0]), found[0][:1].isupper(), text[end : found.start()], found.start())
        end = found.end()


class Phrases:
    """Finds many phrases at once: a word of the text is looked up among the first words of all phrases."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._exact: dict[str, list[tuple[str, Sequence[_Part]]]] = defaultdict(list)
        self._beginnings: dict[str, list[tuple[str, Sequence[_Part]]]] = defaultdict(list)
        for phrase in dict.fromkeys(phrases):
            parts = [_Part(part) for part in phrase.split()]
            for word, is_beginning in parts[0].either:
                (self._beginnings if is_beginning else self._exact)[word].append((phrase, parts[1:]))
        self._lengths = sorted({len(word) for word in self._beginnings})

    def find(self, text: Text) -> dict[str, list[Hit]]:
        """Every phrase that occurs, with its hits in order."""
        found: dict[str, list[Hit]] = defaultdict(list)
        for word, places in text.places.items():
            for phrase, rest in self._beginning_with(word):
                for sentence, index in places:
                    if end := _end_of(rest, sentence.words, index + 1):
                        found[phrase].append(Hit(sentence, index, end))
        return found

    def _beginning_with(self, word: str) -> "Iterator[tuple[str, Sequence[_Part]]]":
        yield from self._exact.get(word, ())
        for length in self._lengths:
            if length > len(word):
                return
            yield from self._beginnings.get(word[:length], ())


class _Part:
    def __init__(self, part: str) -> None:
        self.is_gap = part == GAP
        self.either = [(word.removesuffix("*"), word.endswith("*")) for word in part.split("|")]
        self._exact = frozenset(word for word, is_beginning in self.either if not is_beginning)
        self._beginnings = tuple(word for word, is_beginning in self.either if is_beginning)

    def fits(self, word: str) -> bool:
        return word in self._exact or word.startswith(self._beginnings)


def _end_of(parts: Sequence[_Part], words: Sequence[Word], at: int) -> int:
    """The index behind the phrase if it stands at `at`, else 0."""
    for number, part in enumerate(parts):
        if part.is_gap:
            rest = parts[number + 1 :]
            reachable = range(at, min(len(words), at + _GAP_WORDS + 1))
            return next((end for index in reachable if (end := _end_of(rest, words, index))), 0)
        if at >= len(words) or not part.fits(words[at].plain):
            return 0
        at += 1
    return at
