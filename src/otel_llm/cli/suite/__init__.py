"""`otel-llm replay suite` and `bisect`: their file, what is said before anything is sent, their runs on disk."""
