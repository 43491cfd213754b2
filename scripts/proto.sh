#!/bin/sh
# Generate agpd/_proto from proto/, here or below the directory $1; `--tools` only installs the generator.
# It is the oldest one that serves: newer versions of grpcio and protobuf load its output, older ones refuse a newer one's.
set -eu
TOOLS="${PROTO_VENV:-.venv-proto}"
if [ ! -x "$TOOLS/bin/python" ]; then
    "${PYTHON:-python3.11}" -m venv "$TOOLS"
    # pkg_resources, which grpcio-tools 1.70 needs, has left setuptools 81.
    "$TOOLS/bin/pip" install --quiet --disable-pip-version-check 'grpcio-tools==1.70.0' 'setuptools<81' || {
        rm -rf "$TOOLS"
        exit 1
    }
fi
[ "${1:-}" != --tools ] || exit 0
OUT="${1:-.}"
mkdir -p "$OUT/agpd/_proto"
# The directories of the files are given another name, so that the output imports agpd._proto and not agpd.control.
generate() {
    "$TOOLS/bin/python" -W ignore -m grpc_tools.protoc \
        -I agpd/_proto=proto -I agpd/_proto=proto/agpd/v1 -I agpd/_proto=proto/agpd/control/v1 \
        --python_out="$OUT" --pyi_out="$OUT" "$@"
}
# Stubs only of what the SDK calls: the gateway serves without grpcio.
generate --grpc_python_out="$OUT" agpd/_proto/control.proto agpd/_proto/gateway.proto
generate agpd/_proto/agp.proto agpd/_proto/slim.proto
