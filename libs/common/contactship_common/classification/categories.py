"""The configured categories, read once a process from CLASSIFICATION_FILE (or the bundled file)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

FIXED = ("urgency", "language", "lostClientBadMeeting", "sentiment")
"""Always answered, never null, and the same for every company."""
LANGUAGES = ("es", "en")
SENTIMENTS = ("positive", "neutral", "negative")

_NAME = re.compile(r"[a-z][A-Za-z0-9]{1,39}")
_VALUE = re.compile(r"[a-z0-9][a-z0-9_]{0,59}")
# Keys that a classification has besides its categories, and query parameters of the list.
_RESERVED = frozenset(
    (
        *FIXED, "id", "meetingId", "confidenceScore", "keyTopics", "actionItems", "nextSteps", "summary", "modelUsed",
        "promptVersion", "processedAt", "processingTimeMs", "history", "page", "take", "limit", "sort", "cursor",
        "from", "to", "tz", "sellerId", "clientId", "correctedFields", "meeting", "totalAnalyzedMeetings",
        "meetingAt", "minConfidence", "outdated", "provider",
    )
)  # fmt: skip


def _name(text: str) -> str:
    # Categories become fields of Pydantic models, whose own methods (`copy`, `json`) cannot be fields.
    if not _NAME.fullmatch(text) or text in _RESERVED or hasattr(BaseModel, text):
        raise ValueError(f"{text!r} is not a free camelCase name")
    return text


class _Category(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, AfterValidator(_name)]
    about: str = Field(min_length=1, max_length=500)
    kpi: Annotated[str, AfterValidator(_name)] | None = None
    values: dict[str, str] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _plain_values(self) -> "_Category":
        for value in self.values:
            if not _VALUE.fullmatch(value):
                raise ValueError(f"{self.name} has the value {value!r}; use lower case letters, digits and _")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    categories: list[_Category] = Field(min_length=1, max_length=40)


@dataclass(frozen=True, slots=True)
class Category:
    """One category: `values` maps each allowed value to a hint for the model; `kpi` is its key among the KPIs."""

    name: str
    about: str
    values: dict[str, str]
    kpi: str | None


class WrongCategories(ValueError):
    """The file of categories cannot be used; the message says why and where."""


@lru_cache(maxsize=8)
def load_categories(path: str = "") -> tuple[Category, ...]:
    """The categories of the file at `path`, in its order; "" is the bundled file.

    Raises:
        WrongCategories
    """
    where = path or "the bundled categories.yaml"
    try:
        text = Path(path).read_text("utf-8") if path else _bundled()
        parsed = _File.model_validate(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise WrongCategories(f"CLASSIFICATION_FILE {where} cannot be read: {type(error).__name__}") from None
    except yaml.YAMLError as error:
        raise WrongCategories(f"CLASSIFICATION_FILE {where} is not YAML: {_first_line(error)}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise WrongCategories(f"CLASSIFICATION_FILE {where}: {place}: {first['msg']}") from None
    names = [name for category in parsed.categories for name in (category.name, category.kpi) if name]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise WrongCategories(f"CLASSIFICATION_FILE {where} uses a name twice: {', '.join(sorted(twice))}")
    return tuple(Category(c.name, c.about, c.values, c.kpi) for c in parsed.categories)


def allowed_values(categories: tuple[Category, ...], field: str) -> tuple[Any, ...] | None:
    """What may stand in a field of a classification, configured or fixed; None: there is no such field."""
    if field == "language":
        return LANGUAGES
    if field == "sentiment":
        return SENTIMENTS
    if field in ("urgency", "lostClientBadMeeting"):
        return (True, False)
    for category in categories:
        if category.name == field:
            return (*category.values, None)
    return None


def _bundled() -> str:
    return (files("contactship_common.classification") / "categories.yaml").read_text("utf-8")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
