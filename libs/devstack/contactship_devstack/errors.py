"""The one error of this package."""


class DevstackError(Exception):
    """Something a person must change. The message is one line and says what to do; commands print it and exit 1."""
