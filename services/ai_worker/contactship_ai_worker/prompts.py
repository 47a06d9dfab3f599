"""Prompts are files with a version: `prompts/<name>.md`, front matter and the text of the system message."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from contactship_common.settings.ai import Language

_LANGUAGES: dict[Language, str] = {
    "es": "Write in Spanish (neutral Latin American), whatever the language of the data.",
    "en": "Write in English, whatever the language of the data.",
    "auto": "Write in the language of the data; if that is not clear, in Spanish.",
}


_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The instructions for one kind of work. `hash` covers the text with its language: other words, other hash.

    Where a part of the text is configured, `version` is the file's and the beginning of a digest of what was filled
    in (`1-3f29c0d1`), so that answers to different categories are never counted as one version.
    """

    name: str
    version: str
    text: str
    hash: str


@lru_cache(maxsize=64)
def load_prompt(name: str, language: Language = "es", **parts: str) -> Prompt:
    """The prompt `name`, written for `language`, with `parts` in the places `{{part}}` of its text.

    Raises:
        FileNotFoundError: no such prompt.
        ValueError: the file has no front matter with a version, or a place for a part that is not given.
    """
    raw = (files("contactship_ai_worker") / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    opening, _, rest = raw.partition("---\n")
    header, closing, body = rest.partition("\n---\n")
    fields = dict(line.split(":", 1) for line in header.splitlines() if ":" in line)
    version = fields.get("version", "").strip()
    if opening or not closing or not version:
        raise ValueError(f"prompt {name} has no front matter with a version")
    filled = {"language": _LANGUAGES[language], **parts}
    if missing := set(_PLACE.findall(body)) - filled.keys():
        raise ValueError(f"prompt {name} needs {', '.join(sorted(missing))}")
    # In one pass: what is filled in is text, also where it looks like a place.
    text = _PLACE.sub(lambda place: filled[place[1]], body.strip())
    if parts:
        version += f"-{_digest(*(f'{part}={parts[part]}' for part in sorted(parts)))[:8]}"
    return Prompt(name=name, version=version, text=text, hash=_digest(name, version, text))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
