"""Exporting leads as CSV."""
