#!/usr/bin/env bash
# Builds, tests, checks and times the CUDA backend on a machine with a GPU. Never changes a setting of the card.
set -euo pipefail
self=$(readlink -f "${BASH_SOURCE[0]}")
root=$(dirname "$(dirname "$(dirname "$self")")")

# What is lost last comes first; README.md says why in this order.
all_stages=(info build native-tests benchmark benchmark-mixed memcheck racecheck tuning selftest initcheck synccheck
    managed-tests profile resources)
# What a stage may take of a run that has a --budget, in seconds; what it leaves over is for those behind it.
declare -A shares=([info]=20 [build]=300 [native-tests]=130 [benchmark]=130 [benchmark-mixed]=70 [memcheck]=45 [racecheck]=60
    [tuning]=110 [selftest]=40 [initcheck]=40 [synccheck]=40 [managed-tests]=60 [profile]=60 [resources]=60)
# Every kernel once: without the options of rules that are the same kernel, and without the steps beside the equations.
default_filter='-*_maximize*:*_l2*:*_decay*:*_decoupled*:*_nesterov*:*_inverse_eps*:Rules/Rules.*:*very_large:CudaLarge.*'
# With --quick: all kernels of a few rules.
quick_filter='Rules/*/adam:Rules/*/dualadam:Rules/*/adan:CudaBits.*:DimerGradients.*:CudaGraphs.*:-Rules/Rules.*:Rules/ClockRules.*'

usage() {
    cat <<END
usage: bench/gpu/run.sh [options] [STAGE...]

Runs the stages, all of them if none is named, in the order given. A stage that fails does not stop the others, but
without a build nothing runs. From a checkout, or from an unpacked archive of pack.sh.

  info             the card, the driver and the compilers
  build            the library and the native tests, for the architecture of the GPUs here
  native-tests     the native tests on the GPU (nativeopt_cuda_tests), several processes side by side
  benchmark        bench/pytorch: comparison with PyTorch, and times of float32
  benchmark-mixed  times of bfloat16 and of states of 8 bits
  sanitizer        compute-sanitizer over a part of the native tests: memcheck racecheck initcheck synccheck,
                   each a stage of its own, too
  tuning           times of the library with other constants in its kernels (tunings.txt)
  selftest         nativeopt selftest --device cuda
  managed-tests    the managed tests that use the GPU
  profile          what Nsight Compute (ncu) counts in the update kernels
  resources        bench/kernel_resources.py: no kernel uses local memory

  --out DIR              where the logs, summary.md and summary.json go; default: artifacts/gpu/<date and time>
  --quick                shorter selftest, benchmarks and sanitizers
  --one-log              all logs in one file, logs.txt
  --limit SECONDS        ends a stage that takes longer; default: 600
  --budget SECONDS       ends after this: each stage gets a share of it, and one that no time is left for is "not run"
  --architectures LIST   CMAKE_CUDA_ARCHITECTURES of the build, such as "80;90-real"; default: native, the GPUs here
  --gtest-filter FILTER  the tests that the sanitizers run; default, which runs every kernel:
                         $default_filter
                         and with --quick, which runs those of three rules:
                         $quick_filter
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
    local gtest='' targets
    # A machine without GoogleTest builds the packed one. Optimising it would take longer than what it gains.
    if [ -d $kit/googletest ]; then
        gtest=$root/artifacts/cmake/googletest
        cmake -S $kit/googletest -B "$gtest" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DBUILD_GMOCK=OFF \
            -DCMAKE_INSTALL_PREFIX="$gtest/installed" -Wno-dev
        cmake --build "$gtest" --target install
    fi
    # Warnings of compilers that are newer than those of .ci/run must not cost the run.
    cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES="${RUN_ARCHITECTURES:-native}" -DNATIVEOPT_WERROR=OFF \
        -DNATIVEOPT_BENCHMARKS=ON ${gtest:+-DGTest_ROOT="$gtest/installed"}
    targets=$(cmake --build --preset cuda --target help)
    cmake --build --preset cuda --parallel "$(nproc)" --target nativeopt \
        $(grep -o -m 1 '^nativeopt_cuda_tests' <<<"$targets")
}

stage_resources() {
    need library
    bench/kernel_resources.py "$library"
}

cuda_tests_program() {
    local program=$build/tests/cuda/nativeopt_cuda_tests
    [ -x "$program" ] || {
        echo "not run: nativeopt_cuda_tests was not built; is GoogleTest missing (Debian, Ubuntu: libgtest-dev)?" >&2
        exit 77
    }
    echo "$program"
}

# Where the library sees no device the tests skip themselves, and a run without a test passes: so some must have passed.
report_tests() { # log...
    local passed failed
    passed=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$@" | paste -s -d +)
    failed=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$@" | paste -s -d +)
    [ $((passed)) -gt 0 ] || fail "no test ran on the GPU"
    echo "summary: $((passed)) tests passed, $((failed)) failed"
}

# Runs the native tests under a command.
cuda_tests() { # filter command...
    need gpu library
    local filter=$1 program log status=0
    shift
    program=$(cuda_tests_program)
    log=$(mktemp)
    "$@" "$program" --gtest_brief=1 --gtest_filter="$filter" | tee "$log" || status=$?
    report_tests "$log"
    rm "$log"
    return "$status"
}

# The CPU's side of the comparisons takes longer than the GPU's, so that several processes share one GPU well.
stage_native_tests() {
    need gpu library
    local program shards logs pids=() i status=0
    program=$(cuda_tests_program)
    shards=$((($(nproc) + 1) / 2))
    logs=$(mktemp -d)
    for ((i = 0; i < shards; i++)); do
        GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i "$program" --gtest_brief=1 >"$logs/$i" 2>&1 &
        pids+=($!)
    done
    for ((i = 0; i < shards; i++)); do
        wait "${pids[i]}" || status=1
        cat "$logs/$i"
    done
    report_tests "$logs"/*
    rm -r "$logs"
    return "$status"
}

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

has_torch() { python3 -c 'import torch' || not_run "python3 has no torch"; }

# What ends before the stage's limit has written its page; so the script gets less than that.
times() { # folder bench.py's arguments...
    local folder=$RUN_OUT/$1
    shift
    mkdir -p "$folder"
    python3 bench/pytorch/bench.py --library "$library" --out "$folder" \
        --minutes "$(awk -v limit="$RUN_LIMIT" 'BEGIN { print (limit > 60 ? limit - 20 : limit / 2) / 60 }')" "$@"
}

# The shapes of the bars. torch.compile of a few large tensors and of GPT-2 takes most of a minute.
stage_benchmark() {
    need gpu library
    has_torch
    if [ -n "$RUN_QUICK" ]; then
        times benchmark --quick --compile-seconds 45 --shapes 4x67108864,gpt2-124m,10000x64
    else
        python3 bench/pytorch/check.py --library "$library"
        times benchmark
    fi
}

stage_benchmark_mixed() {
    need gpu library
    has_torch
    local rules=adamw_bfloat16,adamw_float32_states,adamw_remainder,adamw_stochastic,adamw_dynamic8
    times benchmark-mixed --dtype bfloat16,dynamic8 --peers fused,foreach,bitsandbytes --shapes 4x67108864,gpt2-124m \
        ${RUN_QUICK:+--quick --rules "$rules"}
}

stage_tuning() {
    need gpu library
    has_torch
    cmake --build --preset cuda --parallel "$(nproc)" --target nativeopt_tunings
    local one name builds=()
    for one in $build/bench/gpu/libnativeopt_tuning_*.so; do
        name=${one##*/libnativeopt_tuning_}
        builds+=("${name%.so}=$one")
    done
    python3 bench/pytorch/tune.py default="$library" "${builds[@]}" --out "$RUN_OUT/tuning.md" ${RUN_QUICK:+--seconds 1}
}

stage_profile() {
    need gpu library
    has_torch
    command -v ncu >/dev/null || not_run "ncu was not found; it comes with the CUDA toolkit"
    local metrics=gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed
    metrics+=,sm__throughput.avg.pct_of_peak_sustained_elapsed,sm__warps_active.avg.pct_of_peak_sustained_active
    metrics+=,launch__registers_per_thread,smsp__issue_active.avg.pct_of_peak_sustained_active
    ncu --clock-control none --csv --metrics "$metrics" --kernel-name regex:update_kernel --launch-count 40 \
        python3 bench/pytorch/tune.py default="$library" --shapes 4x16777216 --repeats 1 --seconds 0.05
}

# ---- what runs them ----

if [ -n "${RUN_STAGE-}" ]; then
    cd "$root"
    export NATIVEOPT_LIBRARY=$library DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
    export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
    # Where the toolkit is by default, and the tools that Python's packages bring (CMake, Ninja).
    PATH=$PATH:/usr/local/cuda/bin:$(python3 -c 'import sys; print(sys.prefix)' 2>/dev/null || true)/bin
    "stage_${RUN_STAGE//-/_}"
    exit
fi

usage_error() {
    echo "run.sh: $1; see --help" >&2
    exit 2
}

out=$root/artifacts/gpu/$(date -u +%Y%m%d-%H%M%S)
limit=600
budget=''
one_log=''
stages=()
export RUN_OUT RUN_QUICK='' RUN_ARCHITECTURES='' RUN_FILTER=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit ;;
    --quick) RUN_QUICK=1 ;;
    --one-log) one_log=1 ;;
    --out | --limit | --budget | --architectures | --gtest-filter)
        [ $# -gt 1 ] || usage_error "$1 needs a value"
        case $1 in
        --out) out=$2 ;;
        --limit) limit=$2 ;;
        --budget) budget=$2 ;;
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
if [ -z "$RUN_FILTER" ]; then
    RUN_FILTER=$([ -n "$RUN_QUICK" ] && echo "$quick_filter" || echo "$default_filter")
fi
[[ $budget =~ ^([1-9][0-9]*)?$ ]] || usage_error "--budget is '$budget'; it must be a number of seconds"
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
        # The pages of the stages that write one, under headings of this page.
        local page
        for page in benchmark/results.md benchmark-mixed/results.md tuning.md; do
            if [ -s "$RUN_OUT/$page" ]; then
                printf '\n## %s\n\n' "$page"
                sed 's/^#/###/' "$RUN_OUT/$page"
            fi
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

# The seconds that a stage may take: its limit, and its share of what is left of the budget.
time_for() { # stage
    local most=$limit
    if [ -n "$budget" ]; then
        [ "${shares[$1]}" -ge "$most" ] || most=${shares[$1]}
        [ $((budget - SECONDS)) -ge "$most" ] || most=$((budget - SECONDS))
    fi
    echo "$most"
}

run_stage() { # stage seconds
    local stage=$1 limit=$2 log status=0 begin=$SECONDS size=0 result note=''
    log=$([ -n "$one_log" ] && echo logs.txt || echo "$stage.log")
    [ -n "$one_log" ] || : >"$RUN_OUT/$log"
    printf '\n==== %s (%s)\n' "$stage" "$(date -u +%T)" | tee -a "$RUN_OUT/$log"
    size=$(stat -c %s "$RUN_OUT/$log")
    RUN_STAGE=$stage RUN_LIMIT=$limit timeout --kill-after=5 "$limit" bash "$self" >>"$RUN_OUT/$log" 2>&1 </dev/null &
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
    note=$(tail -c "+$((size + 1))" "$RUN_OUT/$log" | sed -n 's/^summary: //p' | tail -n 1)
    if [ -z "$note" ] && [ "$result" != passed ]; then
        note=$(grep . "$RUN_OUT/$log" | tail -n 1 | tr '|' ' ' | cut -c 1-120)
    fi
    results+=("$stage|$result|$((SECONDS - begin))|$log|$note")
    write_summary
}

for stage in "${stages[@]}"; do
    if [[ ${results[*]} == *"build|failed"* ]]; then
        results+=("$stage|not run|0||the build failed")
        write_summary
        continue
    fi
    seconds=$(time_for "$stage")
    if [ "$seconds" -lt 10 ]; then
        results+=("$stage|not run|0||no time is left of the $budget seconds")
        write_summary
    else
        run_stage "$stage" "$seconds"
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
