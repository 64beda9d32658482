module github.com/otel-llm/otel-llm/collector/jaeger

go 1.26

tool github.com/jaegertracing/jaeger/cmd/jaeger

require github.com/jaegertracing/jaeger v1.76.0
