"""What lasts: entries in an SQLite database, and a lock around everything that writes.

Reading order: entries, schema, place, clean, connection, model, reading, erasure, forgetting, writing, making, store.
"""
