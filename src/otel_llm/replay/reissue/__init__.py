"""Asking recorded calls again, under caps on calls, money and time.

    plan          which calls, what changes in them, and for what price: said before anything is sent
    orders        how it is to go: caps, rate, samples, and what it works with
    sending       the asking itself, in order within a conversation, several conversations side by side
    threads       each new answer flows into the later turns
    budget, pace  what may be spent, and how fast
    outcomes      what comes of each call
    resume        going on after an interruption without buying a call twice
"""
