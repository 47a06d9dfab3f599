"""What can be wrong with a request about imports; uploads are in `http.uploads`, files in `lead_csv.errors`."""

from contactship_common.errors import NotFound


class ImportNotFound(NotFound):
    code, title = "import_not_found", "There is no import with this id"
