"""Fixtures every package's tests may use: databases, Redis, real processes."""

pytest_plugins = ["contactship_devstack.testing"]
