"""Why an upload is refused before its file is looked at; what is wrong with files is in `lead_csv.errors`."""

from contactship_api.http.problems import UnsupportedMediaType
from contactship_common.errors import ContactshipError, NotFound, Unprocessable


class NotMultipart(UnsupportedMediaType):
    code, title = "not_multipart", "Send multipart/form-data with the field file"


class MalformedUpload(ContactshipError):
    status, code, title = 400, "malformed_upload", "The multipart body could not be read to its end"


class UploadAborted(ContactshipError):
    """The client went away: nobody reads this answer, but the log shows no 500."""

    status, code, title = 400, "upload_aborted", "The upload broke off"


class FileMissing(Unprocessable):
    code, title = "file_missing", "The form has no field named file with a file in it"


class UnknownFormField(Unprocessable):
    code, title = "unknown_form_field", "The form may have the fields file and mapping, once each"


class ImportNotFound(NotFound):
    code, title = "import_not_found", "There is no import with this id"
