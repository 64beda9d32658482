"""`otel-llm serve`: receive OTLP and keep it in the store."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.values.errors import ConfigError
from otel_llm.values.settings import Settings

PORT = 4319


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
              help="Address to listen on; one that others reach needs keys.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), metavar="N",
              help="Port of OTLP/HTTP; 0 is any free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), metavar="N",
              help="Port of OTLP/gRPC, such as 4320 (default: no gRPC).")
@click.option("--api-key-file", type=click.Path(path_type=Path),
              help="File with one API key a line; OTEL_LLM_API_KEYS adds to it.")
@click.option("--max-body", metavar="SIZE", help="Largest request, packed or unpacked, such as 16M (default: 64 MiB).")
@pass_app
def serve(
    app: App, host: str, port: int, grpc_port: int | None, api_key_file: Path | None, max_body: str | None
) -> None:
    """Receive OTLP over HTTP and gRPC and keep it in the store."""
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ConfigError(f"`otel-llm serve` needs {' and '.join(missing)}: pip install 'otel-llm[server]'")
    from otel_llm.server.auth import keys_of
    from otel_llm.server.limits import Limits
    from otel_llm.server.serve import Listening, Options, serve

    limits = Limits() if max_body is None else Limits(body_bytes=_size(max_body))
    options = Options(host, port, grpc_port, keys_of(app.environ, api_key_file), limits)

    def ready(where: Listening) -> None:
        click.echo(f"OTLP/HTTP on {where.http}" + (f", OTLP/gRPC on {where.grpc}" if where.grpc else "")
                   + f", store {app.store_place()}; Ctrl-C stops.")

    serve(Path(app.store_place()), app.settings, options, ready)


def _size(text: str) -> int:
    try:
        size = Settings.resolve({"max_body_bytes": text}, {}).max_body_bytes
    except ConfigError:
        size = 0
    if not 1000 <= size <= 1 << 31:
        raise ConfigError(f"--max-body {text} is not usable; good values: 1K to 2G, such as 16M")
    return size
