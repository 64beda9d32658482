"""A suite: recorded sessions, asked again in several variants, and how the variants compare.

    definition    what is asked for: variants, rules, how to go about it
    trials        a session in a variant: what it would cost
    budget        who may spend how much of what is left
    sending       sending all of it
    readings      what came back, call by call
    verdicts      rules: passed, regressed, or not enough answers
    judging       readings and verdicts of a whole run
    results       the one value that reports are made from
    statistics    the mathematics
    bisect        the first variant that fails
"""
