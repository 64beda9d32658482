"""Evals: whether a new answer is good enough, said by checks that are written on the command line.

    checks    the table of what may be written: `exact`, `json`, `schema=FILE`, `regex=PATTERN`, `similarity>=0.9`, …
    plain     checks that need nothing but the two answers
    regex     a pattern, in a process of its own that can be ended
    schema    JSON Schema
    child     work that may never end, in a process of its own that can be ended
    foreign   a function of the user's
    judge     a model that is asked
    remembered
              a check that is asked once about the same answer

Each is an `otel_llm.values.evaluation.Evaluator`.
"""
