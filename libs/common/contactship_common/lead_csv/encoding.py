"""Which encoding a file is in, decided over all of it while it streams by.

The rule: a byte order mark decides; else a file whose every byte is valid UTF-8 is UTF-8, because other text with
accents practically never is; else it is Windows-1252, or Latin-1 where it uses a byte that Windows-1252 leaves
undefined. A statistical guess does worse here: charset-normalizer 3.5.2 takes 300 Spanish rows in Windows-1252 for
cp1250, and then every "ñ" becomes "ń". A sample is not enough either: the first accent may be in the last row.
"""

import codecs
from dataclasses import dataclass

from contactship_common.lead_csv.errors import EncodingUnknown, FileEmpty, LineTooLong, NotCsv

MAX_LINE_BYTES = 256 * 1024
_UNDEFINED_IN_1252 = b"\x81\x8d\x8f\x90\x9d"
_OTHER_FORMATS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"%PDF", b"\x1f\x8b")  # xlsx and zip, xls, PDF, gzip
_UTF_32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_NUL_SHARE_OF_UTF_16 = 0.2


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec's name, and where the text begins: behind the byte order mark."""

    name: str
    start_byte: int


class EncodingScan:
    """Feed it the file piece by piece, in order; then ask."""

    def __init__(self) -> None:
        self._mark: Encoding | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._undefined = False
        self._line_bytes = 0
        self._any = False

    def feed(self, piece: bytes) -> None:
        """
        Raises:
            NotCsv: it begins like a workbook, an archive or a PDF.
            EncodingUnknown: UTF-32, UTF-16 without its mark, or broken UTF-16.
            LineTooLong
        """
        if not piece:
            return
        if not self._any:
            self._begin(piece)
        self._measure_lines(piece)
        if self._decoder is not None:
            try:
                self._decoder.decode(piece)
            except UnicodeDecodeError:
                self._decoder = None
                if self._mark is not None:
                    raise EncodingUnknown from None
        self._undefined = self._undefined or len(piece.translate(None, _UNDEFINED_IN_1252)) < len(piece)

    def decide(self) -> Encoding:
        """
        Raises:
            FileEmpty: nothing was fed, or only a byte order mark.
            EncodingUnknown
        """
        if not self._any:
            raise FileEmpty
        if self._decoder is not None:
            try:
                self._decoder.decode(b"", final=True)
                return self._mark or Encoding("utf-8", 0)
            except UnicodeDecodeError:
                if self._mark is not None:
                    raise EncodingUnknown from None
        return Encoding("latin-1" if self._undefined else "cp1252", 0)

    def _begin(self, piece: bytes) -> None:
        self._any = True
        if piece.startswith(_OTHER_FORMATS):
            raise NotCsv
        if piece.startswith(_UTF_32):
            raise EncodingUnknown
        for mark, name in _MARKS:
            if piece.startswith(mark):
                self._mark = Encoding(name, len(mark))
                break
        head = piece[:4_096]
        if self._mark is None and head.count(0) > len(head) * _NUL_SHARE_OF_UTF_16:
            raise EncodingUnknown
        self._decoder = codecs.getincrementaldecoder(self._mark.name if self._mark else "utf-8")()

    def _measure_lines(self, piece: bytes) -> None:
        first, *others = piece.replace(b"\r", b"\n").split(b"\n")
        longest = max([self._line_bytes + len(first), *map(len, others)])
        if longest > MAX_LINE_BYTES:
            raise LineTooLong
        self._line_bytes = len(others[-1]) if others else self._line_bytes + len(first)
