"""Any JSON endpoint: where the rows are and what their fields mean is told by settings.

SYNC_SOURCES={"crm": {"type": "http_json", "url": "https://crm.example.com/api/contacts",
  "headers": {"Authorization": "Bearer ..."}, "rows": "data.items",
  "fields": {"email": "contact.email", "name": "full_name", "phone": "phones.0", "external_id": "id"},
  "paging": {"style": "cursor", "next": "meta.next"}, "cron": "*/30 * * * *"}}
"""

import hashlib
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import orjson
from pydantic import Field, field_validator, model_validator

from contactship_common.tasks.outcomes import Permanent
from contactship_sync_worker.sources.base import ExternalLead, Options, Page, Setup, Source, check_error, pick
from contactship_sync_worker.sources.http import SourceHttp

FieldName = Literal[
    "first_name", "last_name", "name", "email", "phone", "street", "city", "state", "postcode", "country",
    "date_of_birth", "nationality", "gender", "picture_url", "external_id",
]  # fmt: skip


class Paging(Options):
    """How to get the next page.

    `none`: there is one. `page`: `param` counts up from `first` until a page has no rows. `cursor`: `param` repeats
    what the answer says at the path `next`, until that is null, empty or missing.
    """

    style: Literal["none", "page", "cursor"] = "none"
    param: str = ""
    size_param: str = ""  # the parameter for the page size; empty: none is sent
    first: int = 1
    next: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.style == "cursor" and not self.next:
            raise ValueError("paging by cursor needs `next`, the path to the next cursor")
        return self


class HttpJsonOptions(Options):
    """Paths are dotted: `contact.email`, `phones.0`; `rows` is empty where the answer itself is the list.

    `metadata` copies further values under these names. `error`: an answer with something there is an error.
    `external_id_prefix` keeps the ids of several sources apart; the source's name by default.
    """

    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    params: dict[str, str] = Field(default_factory=dict)
    rows: str = ""
    fields: dict[FieldName, str] = Field(min_length=1)
    metadata: dict[str, str] = Field(default_factory=dict)
    paging: Paging = Paging()
    error: str = "error"
    external_id_prefix: str | None = None

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http or https address")
        return url

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if "email" not in self.fields:
            raise ValueError("`fields` must say where the e-mail is")
        if "name" not in self.fields and not {"first_name", "last_name"} <= self.fields.keys():
            raise ValueError("`fields` must say where `first_name` and `last_name` are, or `name`")
        return self


def build(setup: Setup) -> Source:
    return HttpJson(setup.name, HttpJsonOptions.model_validate(setup.options), setup.http)


class HttpJson:
    def __init__(self, name: str, options: HttpJsonOptions, http: SourceHttp) -> None:
        self._options = options
        self._http = http
        self._prefix = f"{name}:" if options.external_id_prefix is None else options.external_id_prefix

    async def fetch(self, cursor: str | None, limit: int) -> Page[ExternalLead]:
        """
        Raises:
            Permanent, RetryLater: see `SourceHttp`; also for a wrong shape, and for a source that goes in circles.
        """
        options, paging = self._options, self._options.paging
        params: dict[str, Any] = dict(options.params)
        if paging.size_param:
            params[paging.size_param] = limit
        page, _, before = (cursor or "").partition(":")
        if paging.style == "page":
            params[paging.param or "page"] = int(page or paging.first)
        elif paging.style == "cursor" and cursor is not None:
            params[paging.param or "cursor"] = cursor
        answer = await self._http.get_json(options.url, params=params, headers=options.headers)
        if isinstance(answer, dict) and options.error:
            check_error(pick(answer, options.error))
        rows = pick(answer, options.rows)
        if not isinstance(rows, list):
            raise Permanent("source_wrong_shape", "the source's answer has no list of rows where one was expected")
        following = None
        if paging.style == "page" and rows:
            digest = _digest(rows)
            if digest == before:
                raise Permanent("source_goes_in_circles", "the source gave the same page twice")
            following = f"{int(page or paging.first) + 1}:{digest}"
        elif paging.style == "cursor":
            following = _next_cursor(pick(answer, paging.next))
            if following is not None and following == cursor:
                raise Permanent("source_goes_in_circles", "the source's next cursor is the one that was asked for")
        return Page([self._person(row) for row in rows], following)

    def _person(self, row: Any) -> ExternalLead:
        lead = ExternalLead(**{name: pick(row, path) for name, path in self._options.fields.items()})
        if isinstance(lead.external_id, str | int) and lead.external_id != "":
            lead.external_id = f"{self._prefix}{lead.external_id}"
        if self._options.metadata:
            lead.metadata = {name: pick(row, path) for name, path in self._options.metadata.items()}
        return lead


def _next_cursor(told: Any) -> str | None:
    if told is None or told is False or told == "":
        return None
    if isinstance(told, str | int):
        return str(told)
    raise Permanent("source_wrong_shape", "the source's next cursor is neither a text nor a number")


def _digest(rows: list[Any]) -> str:
    try:
        text = orjson.dumps(rows)
    except TypeError:
        text = repr(rows).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).hexdigest()
