"""The words of the product as plain values: what a call, a step, a session and a span are.

This floor knows the standard library and nothing else. Every other floor speaks in these values, so that two parts which
must not know each other (capture and store, store and terminal) still mean the same thing by the same word. Values carry
no behaviour beyond conversion; the few places where somebody may plug something in are Protocols
(`otel_llm.values.tape.Tape`, `otel_llm.values.store.Store`, `otel_llm.values.sender.Sender`).

It is a package so that `otel_llm.session` can be the function that opens a session.
"""
