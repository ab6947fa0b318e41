#!/usr/bin/env bash
# Other libraries that estimate survival and make Table 1, into .statistics/: what `measures` is compared with. Not into
# .venv: nothing else asks for them. Without dependencies, for the lock names what is imported of what pip resolves for
# lifelines, scikit-survival and tableone: nothing here draws, or solves.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf .statistics && "${PYTHON:-python3.11}" -m venv .statistics
.statistics/bin/pip --disable-pip-version-check install --quiet --no-compile --no-deps --requirement requirements-statistics.lock
touch .statistics/.ready
