#!/usr/bin/env bash
# Builds the OpenTelemetry Collector and Jaeger from source with Go, and prints where they are:
#
#     collector/build.sh                both (about two and three minutes on two cores, once)
#     collector/build.sh otelcol        one of them
#     collector/build.sh --relock …     the same, and writes go.mod and go.sum anew after a change of the manifest
#
# The binaries go to ${XDG_CACHE_HOME:-~/.cache}/otel-llm/bin under their version, where the tests and `otel-llm collector check` find
# them. One that is there and was built from the same manifest and the same sums is left alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/otel-llm/bin"
relock=false
wanted=()

for argument in "$@"; do
  case "$argument" in
    --relock) relock=true ;;
    otelcol | jaeger) wanted+=("$argument") ;;
    *)
      echo "collector/build.sh: '$argument' is not usable; good values: otelcol, jaeger, --relock" >&2
      exit 2
      ;;
  esac
done
[ "${#wanted[@]}" -gt 0 ] || wanted=(otelcol jaeger)

otelcol_version=$(sed -n 's/^  version: *//p' "$here/otelcol/manifest.yaml")
# Jaeger 2.N is published to Go as v1.(N+63).
jaeger_module=$(sed -n 's/.*jaegertracing\/jaeger v1\.\([0-9]*\)\.\([0-9]*\).*/\1.\2/p' "$here/jaeger/go.mod" | head -n 1)
jaeger_version="2.$((${jaeger_module%.*} - 63)).${jaeger_module#*.}"

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
mode=-mod=readonly
if "$relock"; then mode=-mod=mod; fi

# What a binary was built from, as one word.
sum_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

is_there() { # binary, sum
  ! "$relock" && [ -x "$1" ] && [ "$(cat "$1.built-from" 2>/dev/null)" = "$2" ]
}

need_go() {
  command -v go >/dev/null || { echo "collector/build.sh: Go is not installed; see https://go.dev/doc/install (1.26 or later)" >&2; exit 1; }
}

# A binary appears under its name whole or not at all, whoever else is building.
keep() { # built file, binary, sum
  chmod 755 "$1"
  mv -f "$1" "$2"
  printf '%s\n' "$3" >"$2.built-from"
}

build_otelcol() {
  local target="$cache/otelcol-$otelcol_version" sum
  sum=$(sum_of "$here/otelcol/manifest.yaml" "$here/otelcol/go.mod" "$here/otelcol/go.sum")
  if ! is_there "$target" "$sum"; then
    need_go
    echo "collector/build.sh: building the OpenTelemetry Collector $otelcol_version (about two minutes)" >&2
    work=$(mktemp -d "$cache/build.XXXXXX")
    GOBIN="$work" GOFLAGS="${GOFLAGS:-} -mod=mod" go install "go.opentelemetry.io/collector/cmd/builder@v$otelcol_version" >&2
    # The builder's own `go mod tidy` fails: it asks for modules that only tests of its components need.
    cp "$here/otelcol/manifest.yaml" "$work/"
    (cd "$work" && ./builder --skip-get-modules --skip-compilation --config manifest.yaml >builder.log 2>&1) \
      || { cat "$work/builder.log" >&2; exit 1; }
    if "$relock"; then
      {
        printf 'module github.com/otel-llm/otel-llm/collector/otelcol\n\ngo 1.26\n\nrequire (\n'
        sed -n 's/^ *- gomod: /\t/p' "$here/otelcol/manifest.yaml"
        printf '\tgo.opentelemetry.io/collector/otelcol v%s\n)\n' "$otelcol_version"
      } >"$work/build/go.mod"
    else
      cp "$here/otelcol/go.mod" "$here/otelcol/go.sum" "$work/build/"
    fi
    (cd "$work/build" && go build "$mode" -trimpath -buildvcs=false -ldflags="-s -w" -o "$work/otelcol" .) >&2
    if "$relock"; then
      cp "$work/build/go.mod" "$work/build/go.sum" "$here/otelcol/"
      sum=$(sum_of "$here/otelcol/manifest.yaml" "$here/otelcol/go.mod" "$here/otelcol/go.sum")
    fi
    keep "$work/otelcol" "$target" "$sum"
    rm -rf "$work"
    work=
  fi
  echo "$target"
}

build_jaeger() {
  local target="$cache/jaeger-$jaeger_version" sum
  sum=$(sum_of "$here/jaeger/go.mod" "$here/jaeger/go.sum")
  if ! is_there "$target" "$sum"; then
    need_go
    echo "collector/build.sh: building Jaeger $jaeger_version (about three minutes)" >&2
    work=$(mktemp -d "$cache/build.XXXXXX")
    cp "$here/jaeger/go.mod" "$work/"
    if ! "$relock"; then cp "$here/jaeger/go.sum" "$work/"; fi
    (cd "$work" && go build "$mode" -trimpath -buildvcs=false -o "$work/jaeger" \
      -ldflags="-s -w -X github.com/jaegertracing/jaeger/internal/version.latestVersion=v$jaeger_version" \
      github.com/jaegertracing/jaeger/cmd/jaeger) >&2
    if "$relock"; then
      cp "$work/go.mod" "$work/go.sum" "$here/jaeger/"
      sum=$(sum_of "$here/jaeger/go.mod" "$here/jaeger/go.sum")
    fi
    keep "$work/jaeger" "$target" "$sum"
    rm -rf "$work"
    work=
  fi
  echo "$target"
}

mkdir -p "$cache"
for name in "${wanted[@]}"; do "build_$name"; done
