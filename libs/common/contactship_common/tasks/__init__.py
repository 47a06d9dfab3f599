"""Durable, leased and fenced tasks. The task row is the job; Dramatiq is only the doorbell."""
