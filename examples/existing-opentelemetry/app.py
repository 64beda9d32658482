"""otel-llm inside an OpenTelemetry set-up of one's own: nothing else of it is touched."""

import openai
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

import otel_llm

provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"{span.name}\n")))
provider.add_span_processor(BatchSpanProcessor(otel_llm.ReplayExporter()))  # the store; leave it out if spans are all you want
trace.set_tracer_provider(provider)

otel_llm.instrument(tracer_provider=provider)

with trace.get_tracer("shop").start_as_current_span("GET /suggest"):
    reply = openai.OpenAI().chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Suggest a name for a coffee shop."}])
    print(reply.choices[0].message.content)
