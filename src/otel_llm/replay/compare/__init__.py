"""How two answers, two steps and several sessions differ.

    edits         the shortest way from one sequence to another
    fields        two JSON values, field by field
    answers       two answers: words, tools, figures
    wording       which words of a difference are shown
    align         which step of one session goes with which of another
    pairs         one step against the step that it goes with
    sessions      sessions against each other: pairs and totals
"""
