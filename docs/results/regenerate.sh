#!/usr/bin/env bash
# Makes the results of docs/results.md anew: each command into a folder of its own below RESULTS, and then the tables of the pages.
# What is there already is not made again. TEXT is tinyshakespeare.txt; LIBRARY is libnativeopt.so. FASHION_MNIST is the folder of that
# set, by default that of Debian's package dataset-fashion-mnist. It takes some hours on two cores, half an hour of which are those of
# the tables that are filled in.
#
#     docs/results/regenerate.sh RESULTS TEXT LIBRARY
#
# The command is `nativeopt`, or what the environment variable NATIVEOPT says; PYTHON is a python3 with numpy.
set -euo pipefail
[ $# -eq 3 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
results=$(cd "$1" && pwd)
text=$(realpath "$2")
library=$(realpath "$3")

# A run whose record says so is done; what was stopped goes on where the command can.
run() {
    local name=$1
    shift
    if ! grep -q '"end": "completed"' "$results/$name/run.json" 2>/dev/null; then
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

fashion=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
run table1 classify --data "$fashion" --train-images 10000 --resume
run table5 classify --data "$fashion" --train-images 10000 --sweep switching --resume
run table4 classify --data "$fashion" --train-images 10000 --sweep switching-rate --learning-rates 0.001,0.003,0.01,0.03,0.1,0.3,1 --resume
run pretrained train --text "$text" --optimizer adamw --save --resume
run finetune finetune --from "$results/pretrained/adamw.safetensors" --text "${GPL3:-/usr/share/common-licenses/GPL-3}" --map-unknown \
    --seeds 5 --resume
run deo deo --resume

if [ ! -e "$results/dimer-directions.md" ]; then
    "${PYTHON:-python3}" "$here/../../bench/dimer_directions.py" "$library" >"$results/dimer-directions.tmp"
    mv "$results/dimer-directions.tmp" "$results/dimer-directions.md"
fi

"${PYTHON:-python3}" "$here/fill.py" "$results"
