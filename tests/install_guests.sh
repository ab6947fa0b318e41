#!/usr/bin/env bash
# Other libraries that fill Qdrant and Milvus, into .guests/: what they make is what `cohorts attach` must read.
# Not into .venv: they ask for other versions of what we use. Without dependencies, for the lock names them all, and
# llama-index asks for an older pymilvus than the two others do. Most of their modules are never imported, or compiled.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf .guests && "${PYTHON:-python3.11}" -m venv .guests
.guests/bin/pip --disable-pip-version-check install --quiet --no-compile --no-deps --requirement requirements-guests.lock
touch .guests/.ready
