"""CSV files of leads: how they are decoded, cut into rows, mapped to fields and checked.

The gateway's dry run and the worker's real run both read with `chunks.read_chunk`, so they agree by construction.
Everything here is plain CPU work on bytes; call it in a thread.
"""
