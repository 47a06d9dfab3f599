"""Why a whole file is refused. What is wrong with single rows is in `rows`."""

from contactship_common.errors import Unprocessable


class FileEmpty(Unprocessable):
    code, title = "file_empty", "The file is empty"


class NotCsv(Unprocessable):
    code, title = "not_csv", "This is not a CSV file; export the sheet as CSV (UTF-8) first"


class EncodingUnknown(Unprocessable):
    code, title = "encoding_unknown", "The file is neither UTF-8, UTF-16 with a byte order mark, nor Windows-1252"


class LineTooLong(Unprocessable):
    code, title = "line_too_long", "A line is longer than 256 KiB; this does not look like a CSV file"


class NoRows(Unprocessable):
    code, title = "no_rows", "The file has a header but no rows"


class EmailColumnMissing(Unprocessable):
    code, title = "email_column_missing", "No column holds e-mails: name it in the first line, or in the mapping"


class NameColumnMissing(Unprocessable):
    code, title = "name_column_missing", "No column holds names: there must be firstName or name"


class MappingRefused(Unprocessable):
    """Lists in `errors` what is wrong with which entry of the mapping, by its position."""

    code, title = "mapping_invalid", "The mapping does not fit the file"

    def __init__(self, problems: list[tuple[str, str, str]]) -> None:
        super().__init__(errors=[{"path": path, "message": text, "code": code} for path, text, code in problems])
