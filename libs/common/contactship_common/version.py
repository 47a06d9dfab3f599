"""The version of this release, as installed."""

from importlib.metadata import version

VERSION = version("contactship-common")
