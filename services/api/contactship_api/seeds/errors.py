"""Why an upload of meetings is refused as a whole; what is wrong with single rows is listed in the answer."""

from contactship_api.http.problems import UnsupportedMediaType
from contactship_common.errors import ContactshipError, Unprocessable


class NotMultipart(UnsupportedMediaType):
    code, title = "not_multipart", "Send multipart/form-data with the field file, or nothing for the bundled meetings"


class MalformedUpload(ContactshipError):
    status, code, title = 400, "malformed_upload", "The multipart body could not be read to its end"


class UploadAborted(ContactshipError):
    """The client went away: nobody reads this answer, but the log shows no 500."""

    status, code, title = 400, "upload_aborted", "The upload broke off"


class FileMissing(Unprocessable):
    code, title = "file_missing", "The form has no field named file with a file in it"


class UnknownFormField(Unprocessable):
    code, title = "unknown_form_field", "The form may have the field file, once"


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
