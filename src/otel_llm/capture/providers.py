"""Which provider answers at a host.

OpenAI-compatible endpoints are everywhere, so the SDK in use says little about who is on the other side; the host does.
A host that the table does not know is taken for `openai`, whose API it speaks. `OTEL_LLM_PROVIDERS=host=provider,…` (also
`host:port=provider`) overrides the table, and is the place for a gateway of one's own.

Source: the well-known values of `gen_ai.provider.name`, https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
"""

from __future__ import annotations

from collections.abc import Mapping

HOSTS: Mapping[str, str] = {
    "api.openai.com": "openai",
    ".openai.azure.com": "azure.ai.openai",
    ".cognitiveservices.azure.com": "azure.ai.openai",
    ".services.ai.azure.com": "azure.ai.inference",
    ".models.ai.azure.com": "azure.ai.inference",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    ".aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
}
"""A key with a leading dot stands for every host that ends in it."""


def provider_of(host: str, port: int | None, overrides: Mapping[str, str], default: str = "openai") -> str:
    """The provider at a host: the user's word, then the table's, then the default."""
    host = host.lower()
    for table in (overrides, HOSTS):
        for key in (f"{host}:{port}", host):
            if key in table:
                return table[key]
        rest = host
        while "." in rest:
            rest = rest.partition(".")[2]
            if "." + rest in table:
                return table["." + rest]
    if host.endswith(".amazonaws.com") and host.startswith("bedrock"):
        return "aws.bedrock"
    if host.endswith("-aiplatform.googleapis.com"):
        return "gcp.vertex_ai"
    return default
