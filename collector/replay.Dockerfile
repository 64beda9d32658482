# otel-llm as the receiving end of the collector's replay path, with its store at /data:
#
#     docker build -f collector/replay.Dockerfile -t otel-llm:0.1.0 .
FROM python:3.13.7-slim

COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
RUN pip install --no-cache-dir "/src[server,collector]" && rm -r /src && install -d -o 10001 -g 10001 /data

USER 10001:10001
ENV OTEL_LLM_STORE=/data
VOLUME /data
ENTRYPOINT ["otel-llm"]
CMD ["serve"]
