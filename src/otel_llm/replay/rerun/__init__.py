"""The user's own program against its recording: answered from the tape, held off the network.

    recording     the calls and steps of some sessions, and where each of them stood
    matching      which of them answers what the program asks
    ignoring      which fields of a request are not looked at
    plan          what the terminal tells the processes of the program
    player        what the program gets, and what is noted when nothing matches; forks go live from here
    account       what was given, by all processes of a program together
    report        the same, diverged, regressed or stopped, and where
    network       closed; `children`: processes that the program starts are answered too, whatever environment they get
    ending        the error that stopped the program, shown where it asked
    seams         clock, random numbers and ids as they were
"""
