"""The store: from the tape to what readers see, and the only place with SQL.

    capture → Spool (frames in segment files) → Indexer → SQLite → SqliteStore → readers
              ReplayProcessor / ReplayExporter ┘

`spool` and `exporter` are what an instrumented program loads; they know nothing of SQLite.
"""
