"""The floor: the smallest FastAPI + psycopg + redis-py handlers that do the same reads and writes. See `app`."""
