#!/usr/bin/env bash
# Everything that needs a GPU, in one go: tests, recordings, all notebooks with live cells, a short benchmark.
#   tools/gpu_run.sh [OUT]      leaves OUT/gpu_run.tar.gz (recordings and logs) and prints a line per step
# Uses the `python` on the PATH; set PYTHONPATH to the repository's root, or install the workbook.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:-build/gpu_run}" && cd "${1:-build/gpu_run}" && pwd)
logs=$out/logs
mkdir -p "$logs"
failed=0
step() {
    local name=$1 limit=$2 begin=$SECONDS status=ok
    shift 2
    timeout "$limit" "$@" >"$logs/$name.log" 2>&1 || { status="FAILED ($?)"; failed=1; }
    echo "$name: $status in $((SECONDS - begin)) s: $(tail -n 1 "$logs/$name.log" | cut -c1-200)"
}
step doctor 60 python -m helpers doctor
step tests 300 python -m pytest tests -q -p no:cacheprovider --durations=10
step record 300 python tools/record.py
step notebooks 300 python -m pytest notebooks -q -p no:cacheprovider --durations=10
step bench 120 python tools/bench_runner.py "$logs/bench_runner.json"
tar -C "$out" -czf "$out/gpu_run.tar.gz" logs -C "$PWD" data/recordings
rm -r "$logs"
exit $failed
