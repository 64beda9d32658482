"""The receiving end: `otel-llm serve` takes OTLP over HTTP and gRPC and puts it on the tape.

    otlp_http ─┐                      ┌─ coding, weighing (how large is this really?)
               ├─ reception ─ otlp ───┤
    otlp_grpc ─┘                      └─ durable ─ wire ─→ Spool ─→ indexing ─→ store

A span that came over the network takes the path of a span that was recorded here. An answer of 200 means that its frames
were written; whatever cannot be kept is refused with a sentence that says why, or counted where the sender is told.
"""
