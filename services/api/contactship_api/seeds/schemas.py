"""Shapes of /seeds."""

from contactship_api.http.schemas import Out


class Created(Out):
    clients: int
    sellers: int
    meetings: int


class RowProblem(Out):
    """`row` counts as a spreadsheet does, the header being row 1."""

    row: int
    code: str
    message: str


class SharedEmail(Out):
    """Somebody has the e-mail of somebody with another name. They became a client of their own, without e-mail:
    `clientName`; the e-mail stays with `emailBelongsTo`."""

    row: int
    email: str
    client_name: str
    email_belongs_to: str


class Populated(Out):
    """`skipped` rows were taken in before, or stand in the file twice. `queued` and `total` are about every meeting
    without a classification, not only about these."""

    created: Created
    skipped: int
    errors: list[RowProblem]
    shared_emails: list[SharedEmail]
    queued: int
    total: int
