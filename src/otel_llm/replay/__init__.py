"""Replay: what is done with a recorded session after the fact.

    view          the session as it was: turns, steps, totals
    conversation  its messages, each once, in order
    plan          which recorded calls can be asked again, with what changed, for what price
    reissue       asking them again, call by call, under caps
    compare       how the new answer differs from the old one
    curl          a recorded call as a command or a program that anybody can run

Everything here gets a `Store` and a `Sender` passed in and speaks in values; nothing opens a file or a socket by itself.
"""
