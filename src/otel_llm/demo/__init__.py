"""The program that `otel-llm demo` records: a support agent as anybody would write it, on the real openai SDK."""
