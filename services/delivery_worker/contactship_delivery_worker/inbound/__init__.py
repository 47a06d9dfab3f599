"""What follows from a webhook: interactions, messages, leads and reports, all in the transaction that handles it."""
