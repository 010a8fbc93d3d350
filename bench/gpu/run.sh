#!/usr/bin/env bash
# Builds, tests, checks and times the CUDA backend on a machine with a GPU. Never changes a setting of the card.
set -euo pipefail
self=$(readlink -f "${BASH_SOURCE[0]}")
root=$(dirname "$(dirname "$(dirname "$self")")")

all_stages=(info build resources native-tests managed-tests selftest memcheck racecheck initcheck synccheck benchmark)
# Every kernel once: without the options of rules that are the same kernel, and without the steps beside the equations.
default_filter='-*_maximize*:*_l2*:*_decay*:*_decoupled*:*_nesterov*:*_inverse_eps*:Rules/Rules.*:*very_large:CudaLarge.*'

usage() {
    cat <<END
usage: bench/gpu/run.sh [options] [STAGE...]

Runs the stages, all of them if none is named, in the order given. A stage that fails does not stop the others, but
without a build nothing runs. From a checkout, or from an unpacked archive of pack.sh.

  info           the card, the driver and the compilers
  build          the library and the native tests, for the architecture of the GPUs here
  resources      bench/kernel_resources.py: no kernel uses local memory
  native-tests   the native tests on the GPU (nativeopt_cuda_tests)
  managed-tests  the managed tests that use the GPU
  selftest       nativeopt selftest --device cuda
  sanitizer      compute-sanitizer over a part of the native tests: memcheck racecheck initcheck synccheck,
                 each a stage of its own, too
  benchmark      bench/pytorch: comparison with PyTorch, and times

  --out DIR              where the logs, summary.md and summary.json go; default: artifacts/gpu/<date and time>
  --quick                shorter selftest and benchmark
  --one-log              all logs in one file, logs.txt
  --limit SECONDS        ends a stage that takes longer; default: 600
  --architectures LIST   CMAKE_CUDA_ARCHITECTURES of the build, such as "80-real;90-real"; default: that of the GPUs here
  --gtest-filter FILTER  the tests that the sanitizers run; default, which runs every kernel:
                         $default_filter
  -h, --help             this text

Exit code: 0 if stages passed and none failed, 1 otherwise, 2 on a bad argument, 130 on Ctrl-C.
A stage that cannot be run here (no .NET, no GoogleTest, no PyTorch) says so and is "not run"; no GPU is a failure.
END
}

# ---- stages: each runs in a process of its own, in the root, with a limit on its time ----

build=artifacts/cmake/cuda
kit=artifacts/gpu-kit
library=$root/$build/native/libnativeopt.so

not_run() {
    echo "not run: $1"
    exit 77
}

fail() {
    echo "error: $1"
    exit 1
}

# No -q, with which grep may end before what it reads from, and that be taken for a failure.
has_gpu() { nvidia-smi -L 2>/dev/null | grep '^GPU ' >/dev/null; }

need() {
    local what
    for what in "$@"; do
        case $what in
        gpu) has_gpu || fail "no CUDA device: nvidia-smi lists none" ;;
        library) [ -e "$library" ] || fail "the library is not built; run the stage build first" ;;
        esac
    done
}

stage_info() {
    cat $kit/version.txt 2>/dev/null || git describe --always --dirty --abbrev=12 || true
    uname -srm
    nproc
    c++ --version | head -n 1
    cmake --version | head -n 1
    nvcc --version | tail -n 2
    need gpu
    nvidia-smi
    nvidia-smi -q -d CLOCK,PERFORMANCE,POWER,MEMORY,ECC
}

stage_build() {
    local architectures=$RUN_ARCHITECTURES gtest=''
    if [ -z "$architectures" ] && has_gpu; then
        architectures=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d '. ' | sort -u |
            sed 's/$/-real/' | paste -s -d ';')
    elif [ -z "$architectures" ]; then
        architectures='80-real;90-real'
        echo "no CUDA device: building for $architectures"
    fi
    # A machine without GoogleTest builds the packed one.
    if [ -d $kit/googletest ]; then
        gtest=$root/artifacts/cmake/googletest
        cmake -S $kit/googletest -B "$gtest" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_GMOCK=OFF \
            -DCMAKE_INSTALL_PREFIX="$gtest/installed" -Wno-dev
        cmake --build "$gtest" --target install
    fi
    # Warnings of compilers that are newer than those of .ci/run must not cost the run.
    cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES="$architectures" -DNATIVEOPT_WERROR=OFF \
        ${gtest:+-DGTest_ROOT="$gtest/installed"}
    cmake --build --preset cuda --parallel "$(nproc)" --target nativeopt nativeopt_all_tests
}

stage_resources() {
    need library
    bench/kernel_resources.py "$library"
}

# Runs the native tests, under a command if one is given. Where the library sees no device they skip themselves, and a run
# without a test passes: so some must have passed.
cuda_tests() { # filter [command...]
    need gpu library
    local filter=$1 program log
    shift
    program=$(find $build -name nativeopt_cuda_tests -type f -perm -u+x)
    [ -n "$program" ] ||
        not_run "nativeopt_cuda_tests was not built; is GoogleTest missing (Debian, Ubuntu: libgtest-dev)?"
    log=$(mktemp)
    "$@" "$program" --gtest_filter="$filter" | tee "$log"
    grep -Eq '^\[  PASSED  \] [1-9]' "$log" || fail "no test ran on the GPU"
    rm "$log"
}

stage_native_tests() { cuda_tests '*'; }

sanitize() { # tool and its options
    command -v compute-sanitizer >/dev/null || not_run "compute-sanitizer was not found; it comes with the CUDA toolkit"
    cuda_tests "$RUN_FILTER" compute-sanitizer --error-exitcode 9 --tool "$@"
}

# The tests provoke errors of the API, and the library checks each call itself: only kernels are looked at.
stage_memcheck() { sanitize memcheck --report-api-errors no; }
stage_racecheck() { sanitize racecheck; }
stage_initcheck() { sanitize initcheck; }
stage_synccheck() { sanitize synccheck; }

# The packed .NET, or else an SDK and the sources.
nativeopt() {
    if [ -d $kit/dotnet ]; then
        $kit/dotnet/dotnet $kit/nativeopt/NativeOpt.Cli.dll "$@"
    elif command -v dotnet >/dev/null && [ -d managed ]; then
        dotnet run -c Release -p:NativeOptSkipNativeBuild=true --project managed/NativeOpt.Cli -- "$@"
    else
        not_run "no .NET here; unpack an archive of bench/gpu/pack.sh, or install the .NET 10 SDK"
    fi
}

# Here, too, tests skip themselves without a device.
need_device() {
    nativeopt info
    nativeopt info --json | grep '"cuda:0"' >/dev/null || fail "the library sees no CUDA device; nativeopt info says why"
}

stage_managed_tests() {
    need gpu library
    need_device
    local filter='FullyQualifiedName~cuda'
    if [ -d $kit/vstest ]; then
        $kit/dotnet/dotnet $kit/vstest/vstest.console.dll $kit/tests/NativeOpt.Tests.dll --TestCaseFilter:"$filter"
    else
        dotnet test tests/managed/NativeOpt.Tests -p:NativeOptSkipNativeBuild=true --filter "$filter"
    fi
}

stage_selftest() {
    need gpu library
    nativeopt selftest --device cuda ${RUN_QUICK:+--quick}
}

stage_benchmark() {
    need gpu library
    python3 -c 'import torch' || not_run "python3 has no torch"
    python3 bench/pytorch/check.py --library "$library"
    python3 bench/pytorch/bench.py --library "$library" --out "$RUN_OUT" ${RUN_QUICK:+--quick}
}

# ---- what runs them ----

if [ -n "${RUN_STAGE-}" ]; then
    cd "$root"
    export NATIVEOPT_LIBRARY=$library DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
    export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
    command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
    "stage_${RUN_STAGE//-/_}"
    exit
fi

usage_error() {
    echo "run.sh: $1; see --help" >&2
    exit 2
}

out=$root/artifacts/gpu/$(date -u +%Y%m%d-%H%M%S)
limit=600
one_log=''
stages=()
export RUN_OUT RUN_QUICK='' RUN_ARCHITECTURES='' RUN_FILTER=$default_filter
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit ;;
    --quick) RUN_QUICK=1 ;;
    --one-log) one_log=1 ;;
    --out | --limit | --architectures | --gtest-filter)
        [ $# -gt 1 ] || usage_error "$1 needs a value"
        case $1 in
        --out) out=$2 ;;
        --limit) limit=$2 ;;
        --architectures) RUN_ARCHITECTURES=$2 ;;
        --gtest-filter) RUN_FILTER=$2 ;;
        esac
        shift
        ;;
    sanitizer) stages+=(memcheck racecheck initcheck synccheck) ;;
    *)
        [[ " ${all_stages[*]} " == *" $1 "* ]] || usage_error "no stage or option '$1'"
        stages+=("$1")
        ;;
    esac
    shift
done
[[ $limit =~ ^[1-9][0-9]*$ ]] || usage_error "--limit is '$limit'; it must be a number of seconds"
[ ${#stages[@]} -gt 0 ] || stages=("${all_stages[@]}")
mkdir -p "$out" || usage_error "--out: cannot make the folder '$out'"
RUN_OUT=$(cd "$out" && pwd)

device=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | paste -s -d ';') ||
    device=''
device=${device:-no CUDA device}
results=() # stage|result|seconds|log|note

# Written after each stage, so that a run that is cut off leaves what it has.
write_summary() {
    local entry stage result seconds log note comma=''
    {
        printf '# Run on %s\n\n| stage | result | seconds | log | |\n| --- | --- | ---: | --- | --- |\n' "$device"
        for entry in "${results[@]}"; do
            IFS='|' read -r stage result seconds log note <<<"$entry"
            printf '| %s | %s | %s | %s | %s |\n' "$stage" "$result" "$seconds" "$log" "$note"
        done
    } >"$RUN_OUT/summary.md"
    {
        printf '{"device": "%s", "stages": [' "$device"
        for entry in "${results[@]}"; do
            IFS='|' read -r stage result seconds log note <<<"$entry"
            printf '%s\n  {"stage": "%s", "result": "%s", "seconds": %s, "log": "%s"}' \
                "$comma" "$stage" "$result" "$seconds" "$log"
            comma=,
        done
        printf '\n]}\n'
    } >"$RUN_OUT/summary.json"
}

child=''
# Ends the stage, with all that it started.
cancel() {
    echo "run.sh: cancelled" >&2
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
    exit 130
}
trap cancel INT TERM

run_stage() {
    local stage=$1 log status=0 begin=$SECONDS size=0 result note=''
    log=$([ -n "$one_log" ] && echo logs.txt || echo "$stage.log")
    [ -n "$one_log" ] || : >"$RUN_OUT/$log"
    printf '\n==== %s (%s)\n' "$stage" "$(date -u +%T)" | tee -a "$RUN_OUT/$log"
    size=$(stat -c %s "$RUN_OUT/$log")
    RUN_STAGE=$stage timeout --kill-after=10 "$limit" bash "$self" >>"$RUN_OUT/$log" 2>&1 </dev/null &
    child=$!
    tail -c "+$((size + 1))" -f -s 0.2 --pid="$child" "$RUN_OUT/$log" &
    wait "$child" || status=$?
    child=''
    wait
    case $status in
    0) result=passed ;;
    77) result='not run' ;;
    124 | 137) result=failed && echo "error: over the limit of $limit seconds" | tee -a "$RUN_OUT/$log" ;;
    *) result=failed ;;
    esac
    if [ "$result" != passed ]; then
        note=$(grep . "$RUN_OUT/$log" | tail -n 1 | tr '|' ' ' | cut -c 1-120)
    fi
    results+=("$stage|$result|$((SECONDS - begin))|$log|$note")
    write_summary
}

for stage in "${stages[@]}"; do
    if [[ ${results[*]} == *"build|failed"* ]]; then
        results+=("$stage|not run|0||the build failed")
        write_summary
    else
        run_stage "$stage"
    fi
done

printf '\n==== %s\n' "$device"
passed=0
failed=0
for entry in "${results[@]}"; do
    IFS='|' read -r stage result seconds log note <<<"$entry"
    printf '%-14s %-8s %5s s  %-18s %s\n' "$stage" "$result" "$seconds" "$log" "$note"
    case $result in
    passed) passed=$((passed + 1)) ;;
    failed) failed=$((failed + 1)) ;;
    esac
done
echo "$passed passed, $failed failed, $((${#results[@]} - passed - failed)) not run; in $RUN_OUT"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
