"""Prompts are files with a version: `prompts/<name>.md`, front matter and the text of the system message."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from contactship_common.settings.ai import Language

_LANGUAGES: dict[Language, str] = {
    "es": "Write in Spanish (neutral Latin American), whatever the language of the data.",
    "en": "Write in English, whatever the language of the data.",
    "auto": "Write in the language of the data; if that is not clear, in Spanish.",
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """The instructions for one kind of work. `hash` covers the text with its language: other words, other hash."""

    name: str
    version: str
    text: str
    hash: str


@lru_cache(maxsize=64)
def load_prompt(name: str, language: Language = "es") -> Prompt:
    """The prompt `name`, written for `language`.

    Raises:
        FileNotFoundError: no such prompt.
        ValueError: the file has no front matter with a version.
    """
    raw = (files("contactship_ai_worker") / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    opening, _, rest = raw.partition("---\n")
    header, closing, body = rest.partition("\n---\n")
    fields = dict(line.split(":", 1) for line in header.splitlines() if ":" in line)
    version = fields.get("version", "").strip()
    if opening or not closing or not version:
        raise ValueError(f"prompt {name} has no front matter with a version")
    text = body.strip().replace("{{language}}", _LANGUAGES[language])
    digest = hashlib.sha256(f"{name}\n{version}\n{text}".encode()).hexdigest()
    return Prompt(name=name, version=version, text=text, hash=digest)
