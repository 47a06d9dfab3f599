"""Importing leads from CSV files."""
