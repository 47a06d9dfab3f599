"""CSV as it leaves the system: RFC 4180, every value quoted, formulas neutralised."""

from collections.abc import Iterable

from contactship_common.lead_csv.formulas import neutralise


def csv_line(values: Iterable[str]) -> str:
    """One record with its line end. Quoted always, so that no value can end its cell whatever the reader takes for a
    delimiter."""
    return ",".join('"' + neutralise(value).replace('"', '""') + '"' for value in values) + "\r\n"
