"""Rules on how a configuration is put together: names that exist, names of today, ends that meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from otel_llm.collector_config.pipelines import SECTIONS, Config, type_of

Said = Iterator[tuple[int, str]]

RENAMED = {
    ("exporters", "otlp"): "otlp_grpc", ("exporters", "otlphttp"): "otlp_http", ("connectors", "spanmetrics"): "span_metrics",
    ("connectors", "signaltometrics"): "signal_to_metrics", ("exporters", "logging"): "debug",
    ("exporters", "jaeger"): "otlp_grpc",
}
"""What a component is called today. Jaeger takes OTLP itself since 1.35."""

_SIGNALS = ("traces", "metrics", "logs", "profiles")


def sections(config: Config) -> Said:
    """What the collector knows at the top, and that there is something to run."""
    known = (*SECTIONS, "service")
    for name, node in config.root.map.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"sections are {', '.join(known)}."
            yield node.line, f"{name!r} is no section of a collector's configuration; {hint}"
    if not config.pipelines:
        service = config.root.get("service")
        yield service.line if service else 1, "No pipelines: nothing runs. They stand under service.pipelines."
    for pipeline in config.pipelines:
        if type_of(pipeline.name) not in _SIGNALS:
            yield pipeline.line, f"Pipeline {pipeline.name!r} carries no signal; good values: {', '.join(_SIGNALS)}, with /name."
        for part in ("receivers", "exporters"):
            if not getattr(pipeline, part):
                yield pipeline.line, f"Pipeline {pipeline.name!r} has no {part}."


def undefined(config: Config) -> Said:
    """A name in a pipeline, an extension, a storage or an authenticator that nothing defines."""
    ends = config.defined["connectors"]
    for pipeline in config.pipelines:
        for part, known in (("receivers", {**config.defined["receivers"], **ends}), ("processors", config.defined["processors"]),
                            ("exporters", {**config.defined["exporters"], **ends})):
            for node in getattr(pipeline, part):
                if node.text not in known:
                    yield node.line, (f"Pipeline {pipeline.name} names {node.text!r}, which {part} does not define."
                                      f"{_near(node.text, known)}")
    extensions = config.defined["extensions"]
    started = config.root.get("service", "extensions")
    for node in started.items if started else ():
        if node.text not in extensions:
            yield node.line, (f"service.extensions names {node.text!r}, which extensions does not define."
                              f"{_near(node.text, extensions)}")
    running = {node.text for node in started.items} if started else set()
    for path, node in config.root.walk():
        if path and path[-1] in ("storage", "authenticator") and path[0] in SECTIONS and node.text and node.text not in running:
            what = "does not start" if node.text in extensions else "neither starts nor finds defined"
            yield node.line, f"{'.'.join(path)} names the extension {node.text!r}, which service.extensions {what}."


def unused(config: Config) -> Said:
    """A component that no pipeline names does nothing."""
    used = {node.text for p in config.pipelines for part in (p.receivers, p.processors, p.exporters) for node in part}
    started = config.root.get("service", "extensions")
    used_extensions = {node.text for node in started.items} if started else set()
    for section in SECTIONS:
        names = used_extensions if section == "extensions" else used
        where = "service.extensions does not start it" if section == "extensions" else "no pipeline names it"
        for name, node in config.defined[section].items():
            if name not in names:
                yield node.line, f"{section}.{name} does nothing: {where}."


def one_sided(config: Config) -> Said:
    """A connector joins two pipelines."""
    into = {node.text for p in config.pipelines for node in p.exporters}
    out_of = {node.text for p in config.pipelines for node in p.receivers}
    for name, node in config.defined["connectors"].items():
        if (name in into) != (name in out_of):
            missing = "receiver" if name in into else "exporter"
            yield node.line, f"connectors.{name} has one end only: no pipeline names it as {missing}."


def renamed(config: Config) -> Said:
    """Old names of components; today's collector warns or refuses."""
    for (section, old), new in RENAMED.items():
        for name, node in config.of_type(section, old):
            yield node.line, (f"{section}.{name}: {old} is called {new} today; write {new}{name[len(old):]}, also in the "
                              "pipelines.")


def legacy_batch(config: Config) -> Said:
    """What waits in the batch processor is lost with the process. Before `deltatocumulative` it puts points in a row."""
    for pipeline in config.pipelines:
        names = [node.text for node in pipeline.processors]
        for at, node in enumerate(pipeline.processors):
            if type_of(node.text) == "batch" and "deltatocumulative" not in map(type_of, names[at:]):
                yield node.line, (f"Pipeline {pipeline.name}: the batch processor keeps acknowledged spans in memory and hides "
                                  "errors from the sender; batch in each exporter instead: sending_queue.batch, sizer: bytes.")


def memory_limiter(config: Config) -> Said:
    """It must stand first where data comes in, or the collector dies before it refuses."""
    for pipeline in config.pipelines:
        if any(node.text in config.defined["receivers"] for node in pipeline.receivers):
            names = [type_of(node.text) for node in pipeline.processors]
            if "memory_limiter" not in names:
                yield pipeline.line, f"Pipeline {pipeline.name} has no memory_limiter: a burst of large spans ends the collector."
            elif names[0] != "memory_limiter":
                yield pipeline.line, (f"Pipeline {pipeline.name}: memory_limiter must be the first processor, it is after "
                                      f"{names[0]}.")


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""
