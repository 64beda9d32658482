"""From the store on to OTLP endpoints: at least once, whatever they do, at no cost to the program.

    outbox ─ Loader ─→ Parcels (spans as OTLP bytes, under a content policy) ─ Courier ─→ Transport (HTTP, gRPC) ─→ Answer
                                                                                 └─ Queue: sent, later, dead letter

`process.Forwards` is what a program has of it, `status.Forwarding` what the terminal has.
"""
