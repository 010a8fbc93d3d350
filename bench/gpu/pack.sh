#!/usr/bin/env bash
# Packs what run.sh needs on a GPU machine that has neither .NET nor a network, into one archive.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

usage() {
    cat <<END
usage: bench/gpu/pack.sh [FILE]

Packs into FILE (default: artifacts/nativeopt-gpu.tar.gz), under nativeopt/:
  - the tracked files that the native library, its tests and the benchmarks are built from, as they are in the working tree;
  - artifacts/gpu-kit: the published nativeopt command and managed tests, the .NET runtime and test runner of this
    machine's SDK, and the sources of GoogleTest (from GTEST_SOURCE, default: /usr/src/googletest).
The native library is left out: run.sh builds it for the GPU that it finds.
END
}

archive=artifacts/nativeopt-gpu.tar.gz
case "${1-}" in
-h | --help) usage && exit ;;
-*) echo "pack.sh: no option '$1'; see --help" >&2 && exit 2 ;;
?*) archive=$1 ;;
esac
if [ $# -gt 1 ]; then
    echo "pack.sh: one FILE at most; see --help" >&2
    exit 2
fi
mkdir -p "$(dirname "$archive")"
trap 'rm -f "$archive.new"' EXIT

kit=artifacts/gpu-kit
rm -rf "$kit"
mkdir -p "$kit/dotnet/shared" "$kit/vstest"
git describe --always --dirty --abbrev=12 >"$kit/version.txt"
echo "version $(cat "$kit/version.txt")"

publish() { # project folder
    echo "publishing $1"
    dotnet publish "$1" -c Release -v q -p:NativeOptSkipNativeBuild=true -o "$kit/$2"
    # A library that was built here must not be found there.
    rm -rf "$kit/$2/runtimes" "$kit/$2"/*.xml
}
publish managed/NativeOpt.Cli nativeopt
publish tests/managed/NativeOpt.Tests tests
# What is only for coverage and for other languages.
rm -rf "$kit"/tests/*/ "$kit"/tests/*CodeCoverage*

# The newest of lines such as "10.0.100 [/folder]", as /folder/10.0.100.
newest() { sed -n "s/^$1\(10\.[^ ]*\) \[\(.*\)\]\$/\2\/\1/p" | tail -n 1; }
runtime=$(dotnet --list-runtimes | newest 'Microsoft\.NETCore\.App ')
sdk=$(dotnet --list-sdks | newest '')
echo "copying the .NET runtime $(basename "$runtime") and the test runner of the SDK $(basename "$sdk")"
dotnet_root=$(dirname "$(dirname "$(dirname "$runtime")")")
cp "$dotnet_root/dotnet" "$kit/dotnet/"
cp -r "$dotnet_root/host" "$kit/dotnet/"
mkdir "$kit/dotnet/shared/Microsoft.NETCore.App"
cp -r "$runtime" "$kit/dotnet/shared/Microsoft.NETCore.App/"
cp "$sdk"/vstest.console.* "$sdk"/Microsoft.TestPlatform.*.dll "$sdk"/Microsoft.VisualStudio.TestPlatform.*.dll \
    "$sdk"/Microsoft.Extensions.{DependencyModel,FileSystemGlobbing}.dll "$sdk"/Newtonsoft.Json.dll "$kit/vstest/"
mkdir "$kit/vstest/Extensions"
cp "$sdk"/Extensions/*.dll "$kit/vstest/Extensions/"

googletest=${GTEST_SOURCE:-/usr/src/googletest}
if [ -e "$googletest/CMakeLists.txt" ]; then
    mkdir -p "$kit/googletest/googletest"
    cp "$googletest/CMakeLists.txt" "$kit/googletest/"
    cp -r "$googletest"/googletest/{CMakeLists.txt,cmake,include,src} "$kit/googletest/googletest/"
else
    echo "no GoogleTest in $googletest (Debian, Ubuntu: libgtest-dev): the native tests will need the GPU machine's own" >&2
fi

echo "packing"
{
    git ls-files -z -- CMakeLists.txt CMakePresets.json LICENSE bench cmake native tests ':!tests/managed'
    find "$kit" -type f -print0
} | tar --create --gzip --file "$archive.new" --transform 's,^,nativeopt/,' --null --files-from -
mv "$archive.new" "$archive"
echo "$archive: $(du -h --apparent-size "$archive" | cut -f 1)"
