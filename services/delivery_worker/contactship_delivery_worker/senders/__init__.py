"""Who carries messages: one file a vendor."""
