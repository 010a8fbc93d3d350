#!/usr/bin/env bash
# Writes the C# bindings and their struct-size tests anew from the C header. Needs ClangSharpPInvokeGenerator 22.1
# (dotnet tool install --global ClangSharpPInvokeGenerator), or its path in CLANGSHARP.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
generator=${CLANGSHARP:-ClangSharpPInvokeGenerator}
if ! command -v "$generator" >/dev/null; then
    echo "generate.sh: $generator not found; install it with" >&2
    echo "  dotnet tool install --global ClangSharpPInvokeGenerator" >&2
    echo "or set CLANGSHARP to its path" >&2
    exit 1
fi
bindings=../NativeOpt.Interop/Generated
tests=../../tests/managed/NativeOpt.Tests/Generated
# The generator leaves files of types that are gone.
rm -f "$bindings"/*.cs "$tests"/*.cs
mkdir -p "$bindings" "$tests"
# Its exit code is the number of warnings, but an exception inside it leaves 0: look at the output too.
log=$("$generator" @generate.rsp 2>&1) || { echo "$log" >&2; exit 1; }
if grep -q "Exception" <<<"$log" || [ ! -f "$bindings/NativeMethods.cs" ]; then
    echo "$log" >&2
    exit 1
fi
# What the generator leaves untidy: trailing spaces and a missing or doubled last line feed.
for file in "$bindings"/*.cs "$tests"/*.cs; do
    sed -i -e 's/[ \t\r]*$//' -e '1s/^\xef\xbb\xbf//' "$file"
    sed -i -e :a -e '/^\n*$/{$d;N;ba' -e '}' "$file"
done
echo "generated: $(ls "$bindings" | wc -l) binding files, $(ls "$tests" | wc -l) test files"
