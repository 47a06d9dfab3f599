"""Where leads come from: one adapter a file. The name of the file is the `type` in SYNC_SOURCES."""
