#!/usr/bin/env bash
# Makes the results of docs/results.md anew: each command into a folder of its own below RESULTS, and then the tables of the pages.
# What is there already is not made again. TEXT is tinyshakespeare.txt; LIBRARY is libnativeopt.so. It takes about half an hour on
# two cores.
#
#     docs/results/regenerate.sh RESULTS TEXT LIBRARY
#
# The command is `nativeopt`, or what the environment variable NATIVEOPT says; PYTHON is a python3 with numpy.
set -euo pipefail
[ $# -eq 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
results=$(cd "$1" && pwd)
text=$(realpath "$2")
library=$(realpath "$3")

# A run whose folder has a record is done.
run() {
    local name=$1
    shift
    if [ ! -e "$results/$name/run.json" ]; then
        ${NATIVEOPT:-nativeopt} "$@" --out "$results/$name"
        ${NATIVEOPT:-nativeopt} report "$results/$name"
    fi
}

run escape landscape escape
run escape-fixed-noise landscape escape --fixed-noise
run landscape landscape --optimizer adam,invadam,dualadam
run solutions train --text "$text" --compare adam,dualadam,sgd --steps 1000 --save
run hessian hessian "$results"/solutions/{adam,dualadam,sgd}.safetensors --text "$text"
run saddle saddle --optimizer sgd,sgd-momentum,adam,invadam,dualadam
run saddle-sgd saddle --optimizer sgd --learning-rate 0.01

if [ ! -e "$results/dimer-directions.md" ]; then
    "${PYTHON:-python3}" "$here/../../bench/dimer_directions.py" "$library" >"$results/dimer-directions.tmp"
    mv "$results/dimer-directions.tmp" "$results/dimer-directions.md"
fi

"${PYTHON:-python3}" "$here/fill.py" "$results"
