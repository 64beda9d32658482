"""Recording, receiving, and a look at oneself: `run`, `serve`, `demo`, `config`, `doctor`, `completion`, bare `otel-llm`."""
