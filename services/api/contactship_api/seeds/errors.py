"""Why a file of meetings is refused as a whole; what is wrong with single rows is listed in the answer."""

from contactship_common.errors import Unprocessable


class ColumnsMissing(Unprocessable):
    """Names the columns in `missing`."""

    code, title = "columns_missing", "The file's first line does not name all columns that are needed"

    def __init__(self, missing: list[str] | None = None) -> None:
        super().__init__(missing=missing or [])


class ColumnsRepeated(Unprocessable):
    """Names the columns in `repeated`."""

    code, title = "columns_repeated", "The file's first line names a column twice"

    def __init__(self, repeated: list[str] | None = None) -> None:
        super().__init__(repeated=repeated or [])


class TooManyRows(Unprocessable):
    code, title = "too_many_rows", "A file may have 5,000 rows"
