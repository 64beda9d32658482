"""Replay: what is done with a recorded session after the fact.

    reading       one recorded call with its facts, bytes and messages
    conversation  the messages of a session, each once, in order
    view          the session as it was: turns, steps, totals
    replayable    how far it can be replayed, and what is missing (`tools`: what its tools answered)
    lineage       which session repeats which, step by step
    elements      the history in a request body, as JSON elements and as messages

    requests/     a recorded request, and how it is changed, translated, and sent by hand
    reissue/      asking recorded calls again, under caps
    rerun/        the user's own program against its recording, offline; forks
    compare/      how answers, steps and sessions differ
    suite/        sessions in several prompts, models and parameters, and which regressed

Everything here gets a `Store` and a `Sender` passed in and speaks in values; nothing but a rerun opens a file or a socket by
itself.
"""
