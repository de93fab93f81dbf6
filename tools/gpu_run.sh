#!/usr/bin/env bash
# Everything that needs a GPU, in one go: tests, all notebooks with live cells, recordings, a short benchmark.
#   tools/gpu_run.sh [OUT]      leaves OUT/gpu_run.tar.gz (recordings and logs) and prints a line per step
# Uses the `python` on the PATH; set PYTHONPATH to the repository's root, or install the workbook.
# What measures time runs alone; the rest side by side, since TensorRT's builder keeps one core busy per process.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:-build/gpu_run}" && cd "${1:-build/gpu_run}" && pwd)
export logs=$out/logs
mkdir -p "$logs"

step() { # NAME LIMIT COMMAND...
    local name=$1 limit=$2 begin=$SECONDS status=ok
    shift 2
    timeout "$limit" "$@" >"$logs/$name.log" 2>&1 || status="FAILED ($?)"
    echo "$name: $status in $((SECONDS - begin)) s: $(tail -n 1 "$logs/$name.log" | cut -c1-160)"
}
export -f step
pytest="python -m pytest -q -p no:cacheprovider --durations=5"
chapters=$(cd notebooks && ls [0-9]*.ipynb | sed 's/\.ipynb//')

step doctor 60 python -m helpers doctor
step bench 100 python tools/bench_runner.py "$logs/bench_runner.json"
for test in tests/test_*.py; do echo "step $(basename "$test" .py) 280 $pytest $test"; done |
    xargs -P 8 -I{} bash -c '{}'
echo "$chapters" | grep -v 07_execution | xargs -P 5 -I{} bash -c "step record-{} 240 python tools/record.py {}"
step record-07_execution 200 python tools/record.py 07_execution
echo "$chapters" | xargs -P 6 -I{} bash -c "step nbval-{} 240 $pytest notebooks/{}.ipynb"
tar -C "$out" -czf "$out/gpu_run.tar.gz" logs -C "$PWD" data/recordings
! grep -lE '(FAILED|ERROR)' "$logs"/*.log
