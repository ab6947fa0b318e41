#!/usr/bin/env bash
# The demo: a synthetic hospital into an embedded engine, and patients like one patient.
set -euo pipefail
PATH="$PWD/${BIN:?run make demo}:$PATH"
rm -rf demo && mkdir demo && cd demo

run() { printf '\n$ %s\n' "$*"; "$@"; }
run cohorts synth hospital --patients 2000 --seed 7
run cohorts ingest --source mimic3 --path hospital --store qdrant:./cohorts.qdrant --collection icu
run cohorts describe --store qdrant:./cohorts.qdrant --collection icu
run cohorts query --store qdrant:./cohorts.qdrant --collection icu --patient 10006 -k 10
run cohorts query --store qdrant:./cohorts.qdrant --collection icu --patient 10006 -k 5 --where "age >= 60 and sex = 'F'"
run cohorts query --store qdrant:./cohorts.qdrant --collection icu --text "worsening heart failure, furosemide, leg oedema" -k 5
