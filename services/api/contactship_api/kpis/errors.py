"""What can be wrong with a question about KPIs, besides single values."""

from contactship_common.errors import Unprocessable


class TooManyBuckets(Unprocessable):
    code, title = "too_many_buckets", "So long a time has too many of these periods; narrow it with from and to"


class RangeReversed(Unprocessable):
    code, title = "range_reversed", "from lies after to"
