"""Who gets to read personal data in an answer: nobody, unless they have the right, ask for it and say why.

Any route takes part by asking for `personal: Personal` (before its session, so that two connections are never held at
once), passing what it shows through `personal.text`, `.phone` and `.data`, and naming the rows with `personal.shows`.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from contactship_api.access.permissions import Principal, Scope
from contactship_api.deps import context_of, gateway_of
from contactship_api.http.aliases import API
from contactship_api.http.schemas import Line
from contactship_common.errors import Forbidden, Unprocessable
from contactship_common.masking import mask_data, mask_phone, mask_pii
from contactship_common.uow import unit_of_work

SHORTEST_REASON = 3
LONGEST_REASON = 300


class PiiNotAllowed(Forbidden):
    """The attempt is audited."""

    code, title = "pii_not_allowed", "Only an ADMIN, or a key with the right pii:read, may see personal data"
    keeps_effects = True


class ReasonMissing(Unprocessable):
    code, title = "pii_reason_missing", "Say in `reason` (3 to 300 characters) what the personal data are needed for"


PII_PROBLEMS = (PiiNotAllowed, ReasonMissing)
"""For `@raises` of every route that takes `Personal`."""


class PersonalData:
    """How one answer shows personal data: `clear`, or masked."""

    def __init__(self, *, clear: bool) -> None:
        self.clear = clear
        self.shown: dict[str, Any] = {}

    def text(self, text: str | None) -> str | None:
        """Free text, a reference, an id that somebody else chose."""
        return text if self.clear or text is None else mask_pii(text)

    def phone(self, number: str | None) -> str | None:
        """What is known to be a number, whatever it looks like."""
        return number if self.clear or number is None else mask_phone(number)

    def data(self, value: Any) -> Any:
        """JSON of any shape."""
        return value if self.clear else mask_data(value)

    def shows(self, entity: str, ids: Iterable[object], **about: Any) -> None:
        """Name what the answer shows, for the audit log. `about` carries no unmasked personal data."""
        self.shown = {"entity": entity, "ids": [str(one) for one in ids], **about}


def masked(request: Request) -> PersonalData:
    """For answers to writes, which never reveal."""
    return PersonalData(clear=not gateway_of(request).contact_center.pii_masking_enabled)


async def _personal_data(
    request: Request,
    include_pii: Annotated[
        bool,
        Query(
            alias="includePii",
            description="Show personal data unmasked in this answer. For ADMIN and keys with `pii:read`; audited.",
        ),
    ] = False,
    reason: Annotated[
        Line | None,
        Query(max_length=LONGEST_REASON, description="What the personal data are needed for; with `includePii`."),
    ] = None,
) -> AsyncIterator[PersonalData]:
    if not include_pii:
        yield masked(request)
        return
    principal: Principal = request.state.principal
    # An included router's routes know their own part of the path only.
    operation = f"{request.method} {API}{request.scope['route'].path.removeprefix(API)}"
    # Left after the answer is serialised and before it is sent: no row, no answer.
    async with unit_of_work(gateway_of(request).runtime, context_of(request)) as uow:
        if not principal.may(Scope.PII_READ):
            uow.audit("pii.refused", operation=operation)
            raise PiiNotAllowed
        told = (reason or "").strip()
        if len(told) < SHORTEST_REASON:
            raise ReasonMissing
        personal = PersonalData(clear=True)
        yield personal
        ids = personal.shown.pop("ids", [])
        uow.audit(
            "pii.reveal",
            personal.shown.pop("entity", None),
            ids[0] if len(ids) == 1 else None,
            reason=mask_pii(told),
            operation=operation,
            ids=ids,
            **personal.shown,
        )


Personal = Annotated[PersonalData, Depends(_personal_data, scope="function")]
"""How this answer shows personal data."""

Masked = Annotated[PersonalData, Depends(masked)]
"""Masked whatever is asked for, unless PII_MASKING_ENABLED is off."""
