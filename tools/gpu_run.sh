#!/usr/bin/env bash
# Everything that needs a GPU, in one go: tests, all notebooks with live cells, recordings, benchmark, operator atlas.
#   tools/gpu_run.sh [OUT [PHASE ...]]   phases: bench tests record nbval atlas; all of them by default
# CHAPTERS="01_logger 02_builder", TESTS="tests/test_plan.py …" and NETWORKS="--network LeNet" narrow them.
# Leaves OUT/gpu_run.tar.gz (recordings, atlas, benchmark, logs) and prints a line per step.
# Uses the `python` on the PATH; set PYTHONPATH to the repository's root, or install the workbook.
# What measures time runs alone; the rest side by side, since TensorRT's builder keeps one core busy per process.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:-build/gpu_run}" && cd "${1:-build/gpu_run}" && pwd)
shift
phases=${*:-bench tests record nbval atlas}
export logs=$out/logs
mkdir -p "$logs"

step() { # NAME LIMIT COMMAND...
    local name=$1 limit=$2 begin=$SECONDS status=ok
    shift 2
    timeout "$limit" "$@" >"$logs/$name.log" 2>"$logs/$name.err" || status="FAILED ($?)"
    echo "$name: $status in $((SECONDS - begin)) s: $(tail -n 1 "$logs/$name.log" | cut -c1-160)"
    tar -C "$out" -czf "$out/.$BASHPID" logs -C "$PWD" data/recordings data/atlas.json &&
        mv "$out/.$BASHPID" "$out/gpu_run.tar.gz" # after each step: whatever stops this script, nothing is lost
}
together() { # PROCESSES: reads steps, one per line
    xargs -P "$1" -I{} bash -c 'step {}'
}
export -f step
export out
pytest="python -m pytest -q -p no:cacheprovider --durations=5"
chapters=$(tr ' ' '\n' <<<"${CHAPTERS:-$(cd notebooks && ls [0-9]*.ipynb | sed 's/\.ipynb//')}")

bench() { step bench 420 python -m tools.bench "$out/bench" ${NETWORKS:-}; cp "$out"/bench/bench.* "$logs/"; rm -r "$out/bench"; }
tests() { for test in ${TESTS:-tests/test_*.py}; do echo "$(basename "$test" .py) 280 $pytest $test"; done | together 5; }
record() {
    local quiet=$(grep -E '^(07|09|10|11)' <<<"$chapters") # these measure time
    grep -vE '^(07|09|10|11)' <<<"$chapters" | sed 's/.*/record-& 240 python tools\/record.py &/' | together 4
    for chapter in $quiet; do step "record-$chapter" 200 python tools/record.py "$chapter"; done
}
nbval() { sed "s/.*/nbval-& 280 $pytest notebooks\/&.ipynb/" <<<"$chapters" | together 5; }
atlas() { step atlas 280 python tools/atlas.py --workers 8; }

step doctor 60 python -m helpers doctor
for phase in $phases; do $phase; done
! grep -lE '^(FAILED|ERROR)|refused, nothing' "$logs"/*.log
