"""Everything that sends HTTP to addresses given through the API: callbacks of tasks, and outbound webhooks."""
