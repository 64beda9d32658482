"""Every file of collector/ is what it says: the output of its command, accepted by the program that reads it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.terminal import empty, otel_llm
from otel_llm.collector_config import binary, measures
from otel_llm.collector_config.lint import check
from otel_llm.semconv import names
from support.backends import COLLECTOR, program

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

CONFIGS = sorted([COLLECTOR / "config.yaml", COLLECTOR / "gateway.yaml", *(COLLECTOR / "variants").glob("*.yaml")])
SETTINGS = sorted(path for path in COLLECTOR.rglob("*.yaml") if path not in CONFIGS)
DASHBOARD = json.loads((COLLECTOR / "grafana" / "dashboards" / "otel-llm.json").read_text(encoding="utf-8"))
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def shipped(path: Path) -> Any:
    return pytest.param(path, id=str(path.relative_to(COLLECTOR)))


@pytest.mark.parametrize("path", list(map(shipped, CONFIGS)))
def test_a_configuration_is_the_output_of_the_command_that_it_names(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    words = shlex.split(text.splitlines()[1].lstrip("# "))

    run = otel_llm(empty(), *words[1:])

    assert words[:3] == ["otel-llm", "collector", "config"]
    assert (run.code, run.err, run.out) == (0, "", text)


@pytest.mark.parametrize("path", list(map(shipped, CONFIGS)))
def test_a_configuration_has_none_of_the_usual_mistakes(path: Path) -> None:
    assert check(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", list(map(shipped, CONFIGS)))
def test_the_collector_accepts_it(path: Path) -> None:
    assert binary.validate(program("otelcol"), path, os.environ) == []


def test_jaeger_accepts_its_configuration() -> None:
    done = subprocess.run([program("jaeger"), "validate", "--config", "jaeger.yaml"], cwd=COLLECTOR, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_jaeger_traces_nothing_of_itself_into_the_collector() -> None:
    config = yaml.safe_load((COLLECTOR / "jaeger.yaml").read_text(encoding="utf-8"))

    assert config["extensions"]["jaeger_query"]["enable_tracing"] is False


def test_jaeger_takes_as_much_as_the_collector_sends() -> None:
    protocols = yaml.safe_load((COLLECTOR / "jaeger.yaml").read_text(encoding="utf-8"))["receivers"]["otlp"]["protocols"]

    assert (protocols["grpc"]["max_recv_msg_size_mib"], protocols["http"]["max_request_body_size"]) == (64, 64 << 20)


def test_links_lead_from_a_trace_and_from_its_ids_to_the_session() -> None:
    patterns = json.loads((COLLECTOR / "jaeger-ui.json").read_text(encoding="utf-8"))["linkPatterns"]

    links = {(p["type"], p.get("key")): p["url"] for p in patterns}
    assert links == {
        ("tags", names.GEN_AI_CONVERSATION_ID): "http://localhost:8321/sessions/#{gen_ai.conversation.id}",
        ("tags", names.SESSION_ID): "http://localhost:8321/sessions/#{session.id}",
        ("traces", None): "http://localhost:8321/sessions/#{traceID}",
    }


def test_prometheus_accepts_its_configuration_and_the_rules() -> None:
    tool = program("promtool")

    for kind, file in (("config", "prometheus.yaml"), ("rules", "rules.yaml")):
        done = subprocess.run([tool, "check", kind, file], cwd=COLLECTOR, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should() -> None:
    done = subprocess.run([program("promtool"), "test", "rules", "rules_test.yaml"], cwd=Path(__file__).parent, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", list(map(shipped, SETTINGS)))
def test_every_other_yaml_can_be_read(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))

    assert all(isinstance(document, dict) for document in documents) and documents


@pytest.mark.parametrize("file", ["compose.yaml", "kubernetes.yaml"])
def test_every_image_has_a_version(file: str) -> None:
    images = re.findall(r"image: (\S+)", (COLLECTOR / file).read_text(encoding="utf-8"))

    assert images and all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images)
    assert f"otel/opentelemetry-collector-contrib:{binary.OTELCOL_VERSION}" in images


def test_compose_opens_ports_to_this_machine_alone() -> None:
    services = yaml.safe_load((COLLECTOR / "compose.yaml").read_text(encoding="utf-8"))["services"]

    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_mounts_only_files_that_are_here() -> None:
    services = yaml.safe_load((COLLECTOR / "compose.yaml").read_text(encoding="utf-8"))["services"]

    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", []) if volume[0] == "."]
    assert [name for name in mounted if not (COLLECTOR / name).exists()] == []


@pytest.mark.parametrize("file", ["compose.yaml", "kubernetes.yaml"])
def test_variables_of_the_containers_are_those_that_the_configurations_read(file: str) -> None:
    text = (COLLECTOR / file).read_text(encoding="utf-8")
    given = set(re.findall(r"\b((?:COLLECTOR|JAEGER|GATEWAY|REPLAY)_[A-Z_]+)\b", text))

    read = set(re.findall(r"\$\{env:([A-Z_]+):-", "".join((COLLECTOR / f).read_text() for f in ("config.yaml", "gateway.yaml", "jaeger.yaml"))))
    assert given and given <= read


def test_kubernetes_gets_the_files_that_its_pods_name() -> None:
    text = (COLLECTOR / "kubernetes.yaml").read_text(encoding="utf-8")
    maps = yaml.safe_load((COLLECTOR / "kustomization.yaml").read_text(encoding="utf-8"))["configMapGenerator"]

    assert {m["name"] for m in maps} == set(re.findall(r"configMap: \{name: (\w+)\}", text))
    assert all((COLLECTOR / file).exists() for m in maps for file in m["files"])


def test_no_file_holds_a_secret() -> None:
    found = [(path.name, line) for path in COLLECTOR.rglob("*.y*ml") for line in path.read_text(encoding="utf-8").splitlines()
             if re.match(r"\s*(token|password|authorization|api[-_]key): (?!\$\{env:)\S", line)]

    assert found == []


def test_the_dashboard_shows_what_was_asked_of_it() -> None:
    titles = " ".join(panel["title"].lower() for panel in DASHBOARD["panels"])

    assert all(word in titles for word in ("cost", "tokens", "latency", "first chunk", "failed", "model", "prompt version", "team"))
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_dashboard_and_rules_group_only_by_labels_that_exist() -> None:
    labels = {name.replace(".", "_") for name in (*measures.DIMENSIONS, names.ERROR_TYPE, names.SERVICE_NAME)} | {"le", "status_code"}
    texts = [*EXPRESSIONS, (COLLECTOR / "rules.yaml").read_text(encoding="utf-8")]

    grouped = {label.strip() for text in texts for group in re.findall(r"\bby \(([^)]*)\)", text) for label in group.split(",")}
    matched = {label for text in texts for label in re.findall(r"\b(\w+)=~?\"", text)}
    assert (grouped | matched) - {"job", "__name__"} <= labels


def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    tool = program("promtool")
    rules = {"groups": [{"name": "dashboard", "rules": [
        {"record": f"x{i}", "expr": re.sub(r"\$__(rate_interval|range)", "5m", expr)} for i, expr in enumerate(EXPRESSIONS)]}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))

    done = subprocess.run([tool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifests_name_the_versions_that_the_tests_look_for() -> None:
    manifest = yaml.safe_load((COLLECTOR / "otelcol" / "manifest.yaml").read_text(encoding="utf-8"))
    jaeger = re.search(r"jaegertracing/jaeger v1\.(\d+)\.(\d+)", (COLLECTOR / "jaeger" / "go.mod").read_text(encoding="utf-8"))

    assert manifest["dist"]["version"] == binary.OTELCOL_VERSION
    assert jaeger is not None and f"2.{int(jaeger[1]) - 63}.{jaeger[2]}" == binary.JAEGER_VERSION


def test_the_manifest_holds_every_component_that_a_configuration_names() -> None:
    done = subprocess.run([program("otelcol"), "components"], capture_output=True, text=True, check=True)
    built = {c["name"] for section in ("receivers", "processors", "exporters", "connectors", "extensions")
             for c in yaml.safe_load(done.stdout)[section]}

    used = {name.partition("/")[0] for path in CONFIGS for section in ("receivers", "processors", "exporters", "connectors", "extensions")
            for name in yaml.safe_load(path.read_text(encoding="utf-8"))[section]}
    assert used <= built


def test_the_build_leaves_alone_what_is_built(tmp_path: Path) -> None:
    bin_directory = tmp_path / "otel-llm" / "bin"
    bin_directory.mkdir(parents=True)
    for name, version, files in (("otelcol", binary.OTELCOL_VERSION, ("manifest.yaml", "go.mod", "go.sum")), ("jaeger", binary.JAEGER_VERSION, ("go.mod", "go.sum"))):
        made = bin_directory / f"{name}-{version}"
        made.write_text("#!/bin/sh\n")
        made.chmod(0o755)
        content = b"".join((COLLECTOR / name / file).read_bytes() for file in files)
        made.with_name(made.name + ".built-from").write_text(hashlib.sha256(content).hexdigest() + "\n")
    environ = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}

    done = subprocess.run([COLLECTOR / "build.sh"], env=environ, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert [Path(line) for line in done.stdout.splitlines()] == [bin_directory / f"otelcol-{binary.OTELCOL_VERSION}", bin_directory / f"jaeger-{binary.JAEGER_VERSION}"]
    assert [binary.find(name, environ) for name in ("otelcol", "jaeger")] == [Path(line) for line in done.stdout.splitlines()]


def test_the_build_says_what_it_does_not_know() -> None:
    done = subprocess.run([COLLECTOR / "build.sh", "tempo"], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (2, "")
    assert "'tempo' is not usable; good values: otelcol, jaeger" in done.stderr
