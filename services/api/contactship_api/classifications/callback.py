"""The callback of a request for a classification, judged before its transaction begins: it may look up a name."""

from typing import Annotated

from fastapi import Depends

from contactship_api.classifications.schemas import ClassifyRequest
from contactship_api.deps import TheGateway
from contactship_common.errors import CallbacksNotConfigured, UrlNotAllowed
from contactship_common.outbound import callbacks


class Callback:
    """`url()` is what was asked for, if it may be. Refused only then: the answer to a repeated request with an
    Idempotency-Key is the first one, whatever the name leads to today."""

    def __init__(self, url: str | None, refusal: CallbacksNotConfigured | UrlNotAllowed | None = None) -> None:
        self._url = url
        self._refusal = refusal

    def url(self) -> str | None:
        """
        Raises:
            CallbacksNotConfigured, UrlNotAllowed
        """
        if self._refusal is not None:
            raise self._refusal
        return self._url


async def _judged(gateway: TheGateway, body: ClassifyRequest | None = None) -> Callback:
    if body is None or body.callback_url is None:
        return Callback(None)
    try:
        return Callback(await callbacks.accept(gateway.core, body.callback_url))
    except (CallbacksNotConfigured, UrlNotAllowed) as refusal:
        return Callback(None, refusal)


JudgedCallback = Annotated[Callback, Depends(_judged)]
"""Stands before the unit of work among an endpoint's parameters: they are made in that order."""
