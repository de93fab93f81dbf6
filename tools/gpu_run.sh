#!/usr/bin/env bash
# Everything that needs a GPU, in one go: the detector's plans, benchmark, recordings, tests, all notebooks with live
# cells, operator atlas.
#   tools/gpu_run.sh [OUT [PHASE ...]]   phases: plans bench record tests nbval atlas; all of them by default
# CHAPTERS="01_logger 02_builder", TESTS="tests/helpers/test_plan.py …", PARTS="detector" (of the benchmark) and
# NETWORKS="--network LeNet" narrow them, PROCESSES says how many steps run side by side. Leaves OUT/gpu_run.tar.gz
# (data and logs) and prints a line per step.
# Uses the `python` on the PATH; set PYTHONPATH to the repository's root, or install the workbook.
# WORKBOOK_TORCH_PYTHON and WORKBOOK_RUNTIMES (tests/helpers/test_other_versions_gpu.py) let other releases take part.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:-build/gpu_run}" && cd "${1:-build/gpu_run}" && pwd)
phases=${*:2}
export out logs=$out/logs WORKBOOK_PASSES=${WORKBOOK_PASSES:-1} # one pass of each notebook: builds take long
export WORKBOOK_PLANS=${WORKBOOK_PLANS:-$out/plans} # the detector's, for every phase
mkdir -p "$logs"

step() { # NAME LIMIT COMMAND...
    local name=$1 limit=$2 begin=$SECONDS status=ok
    shift 2
    timeout "$limit" "$@" >"$logs/$name.log" 2>"$logs/$name.err" || status="FAILED ($?)"
    echo "$name: $status in $((SECONDS - begin)) s: $(grep -v '[│┃┏┡└]' "$logs/$name.log" | tail -n 1 | cut -c1-160)"
    # After each step: whatever stops this script, nothing is lost.
    tar -C "$out" -czf "$out/.$BASHPID" logs -C "$PWD" data/recordings data/atlas.json $(ls data/bench*.*) &&
        mv "$out/.$BASHPID" "$out/gpu_run.tar.gz"
}
export -f step
side_by_side() { # reads steps, one per line
    xargs -P "${PROCESSES:-3}" -I{} bash -c 'step {}'
}
pytest="python -m pytest -q -p no:cacheprovider --durations=5"
chapters=$(tr ' ' '\n' <<<"${CHAPTERS:-$(cd notebooks && ls [0-9]*.ipynb | sed 's/\.ipynb//')}")
timed='^(07|09|10|11|12|13)' # these measure, so they run alone, as does what looks at the GPU's memory

plans() { # a minute and a half each, all at once
    python -m helpers.workbook.detector_plans | grep -v '(' |
        sed 's/.*/plan-& 400 python -m helpers.workbook.detector_plans &/' | PROCESSES=8 side_by_side
}
bench() {
    for part in ${PARTS:-networks detector}; do
        step "bench-$part" 480 python -m tools.bench "$out/bench" --only "$part" ${NETWORKS:-}
        mv "$out"/bench/bench*.* data/
    done
    rm -r "$out/bench"
}
record() {
    grep -vE "$timed" <<<"$chapters" | sed 's/.*/record-& 300 python -m tools.record &/' | side_by_side
    for chapter in $(grep -E "$timed" <<<"$chapters"); do step "record-$chapter" 240 python -m tools.record "$chapter"; done
}
tests() {
    local tests=${TESTS:-$(ls tests/*/test_*.py | grep -v browser)}
    for test in $tests; do [[ $test == *_gpu.py ]] && step "$(basename "$test" .py)" 280 $pytest "$test"; done
    for test in $tests; do [[ $test == *_gpu.py ]] || echo "$(basename "$test" .py) 280 $pytest $test"; done | side_by_side
}
nbval() { sed "s/.*/nbval-& 400 $pytest notebooks\/&.ipynb/" <<<"$chapters" | side_by_side; }
atlas() { step atlas 500 python tools/atlas.py --workers 8 --seconds 300; } # and its last builds may take 120

step doctor 60 python -m helpers doctor
for phase in ${phases:-plans bench record tests nbval atlas}; do $phase; done
! grep -lE '^(FAILED|ERROR)|refused, nothing' "$logs"/*.log
