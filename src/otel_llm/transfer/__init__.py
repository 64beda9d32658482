"""Sending on what is stored: to a file that holds all of it, to any OTLP endpoint, to a table for analytics; and back.

    line      a record as one JSON object, and back: the format, written down and versioned
    fields    reading foreign JSON field by field, saying what is wrong with which
    jsonl     the file: a head, lines, and a manifest written last; verified before anything is imported
    session_file    one session as a document to keep, read, edit and rerun; session_bodies, session_layout: how it is written
    otlp_out  spans, ids and times unchanged, to an OTLP/HTTP endpoint, under a content policy
    endpoint  one OTLP/HTTP endpoint: what it took, what it refused, when to come back
    parquet   one row a step, for DuckDB, pandas and their like (extra `parquet`)

Everything here gets an `Archive` passed in and speaks in values; whatever the size of a store, it is streamed. A session file
alone is whole in memory.
"""
