"""`python -m otel_llm.cli`: the terminal without its script."""

from otel_llm.cli import main

main()
