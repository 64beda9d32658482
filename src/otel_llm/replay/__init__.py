"""Replay: what is done with a recorded session after the fact.

    view          the session as it was: turns, steps, totals
    conversation  its messages, each once, in order
    replayable    how far it can be replayed, and what is missing
    plan          which recorded calls can be asked again, with what changed (`compose`, `instructions`, `translate`), and for
                  what price
    reissue       asking them again under caps (`budget`, `pace`), as recorded or with the new answers in later turns (`threads`,
                  `tools`); `resume` goes on after an interruption
    compare       how the new answer differs from the old one
    sessions_compare
                  how sessions differ, step by step: `lineage` and `align` say which step goes with which, `pairs` what a pair
                  comes to, `wording` which words of it are shown
    suite         recorded sessions in several prompts, models and parameters, and which regressed; `bisect` finds the first
    curl          a recorded call as a command or a program that anybody can run

Everything here gets a `Store` and a `Sender` passed in and speaks in values; nothing opens a file or a socket by itself.
"""
