"""Where spans go, as settings and environment say it."""

from __future__ import annotations

import pytest

from otel_llm.values.destination import FIRST, Destination, destinations, first_destination, headers_of, place_of, read_forward
from otel_llm.values.errors import ConfigError
from otel_llm.values.settings import Settings

BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318/base/"}


class TestFirst:
    def test_the_general_endpoint_is_a_base_and_that_of_traces_is_taken_as_it_is(self) -> None:
        both = {**BASE, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/x"}

        assert first_destination({}) is None
        assert [d.url for d in (first_destination(BASE), first_destination(both)) if d] == ["http://h:4318/base/v1/traces", "http://t:1/x"]

    def test_variables_for_traces_win(self) -> None:
        found = first_destination({**BASE, "OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip",
                                   "OTEL_EXPORTER_OTLP_TIMEOUT": "7", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca"})

        assert found is not None and (found.compression, found.timeout_s, found.certificate) == ("gzip", 7.0, "/ca")

    def test_a_timeout_of_thousands_is_in_milliseconds(self) -> None:
        found = first_destination({**BASE, "OTEL_EXPORTER_OTLP_TIMEOUT": "2500"})

        assert found is not None and found.timeout_s == 2.5

    def test_grpc_keeps_its_target(self) -> None:
        found = first_destination({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})

        assert found is not None and (found.url, found.protocol, found.insecure) == ("localhost:4317", "grpc", False)

    @pytest.mark.parametrize("url", ["localhost:4318", "ftp://x", "http://", "http://h:port"])
    def test_an_endpoint_that_is_none_is_said(self, url: str) -> None:
        with pytest.raises(ConfigError, match="not usable"):
            first_destination({"OTEL_EXPORTER_OTLP_ENDPOINT": url})


class TestMore:
    def test_entries_have_names_and_options(self) -> None:
        entries = read_forward("jaeger=http://j:4318;content=full,v=https://v/otel;headers=V_HEADERS;compression=gzip;timeout=3,otlp;content=masked")

        assert destinations(entries, BASE) == [
            Destination(FIRST, "http://h:4318/base/v1/traces", content="masked", insecure=False,
                        headers="OTEL_EXPORTER_OTLP_TRACES_HEADERS OTEL_EXPORTER_OTLP_HEADERS"),
            Destination("jaeger", "http://j:4318/v1/traces", content="full"),
            Destination("v", "https://v/otel/v1/traces", headers="V_HEADERS", compression="gzip", timeout_s=3)]

    def test_the_standard_endpoint_can_be_left_to_others(self) -> None:
        assert [d.name for d in destinations({"a": "http://x"}, BASE, first=False)] == ["a"]

    @pytest.mark.parametrize("text", [
        "jaeger", "a=http://x,a=http://y", "a=localhost:4318", "a=http://user:secret@x", "otlp=http://x", "a=http://x;content=all",
        "a=http://x;colour=red", "a b=http://x", "a=http://x;timeout=-1", "a=http://x;headers=not a name"])
    def test_what_makes_no_sense_is_refused_with_what_would(self, text: str) -> None:
        with pytest.raises(ValueError) as caught:
            read_forward(text)

        assert "secret" not in str(caught.value)

    def test_the_argument_goes_before_the_variable(self) -> None:
        environ = {"OTEL_LLM_FORWARD": "a=http://x"}

        assert Settings.resolve({}, environ).forward == {"a": "http://x"}
        assert Settings.resolve({"forward": {"b": "http://y;content=full"}}, environ).forward == {"b": "http://y;content=full"}
        with pytest.raises(ConfigError):
            Settings.resolve({"forward": {"b": "nowhere"}})


class TestSecrets:
    def test_headers_come_from_the_variable_alone(self) -> None:
        made = Destination("a", "http://x", headers="FIRST SECOND")

        assert headers_of(made, {"SECOND": "Authorization=Basic%20abc, x = y ,bad,=z,evil=a%0d%0ab"}) == {"authorization": "Basic abc", "x": "y"}
        assert headers_of(made, {}) == {}

    def test_a_place_has_neither_user_nor_query(self) -> None:
        assert place_of("https://user:pw@host:1/path?key=secret#f") == "https://host:1/path"
        assert "pw" not in repr(Destination("a", "https://user:pw@host"))
