#!/usr/bin/env bash
# feed.sh FOLDER: takes FOLDER, with the packages that `dotnet pack` made, for a feed, and uses them as a stranger does: in new
# projects outside the repository, with no other source of packages. Then it checks what the packages hold.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: ${0##*/} FOLDER" >&2; exit 2; }
feed=$(realpath "$1")
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "-- what publishing takes beside the SDK, from the usual source: the runtime, the trimmer, the compiler"
dotnet new console --no-restore -o "$work/packs" >/dev/null
dotnet restore "$work/packs" -v q -r linux-x64 -p:PublishAot=true
dotnet restore "$work/packs" -v q -r linux-x64 -p:SelfContained=true -p:PublishTrimmed=true

# What restores unpack goes into the work folder. What others made is taken from where earlier restores left it: all but this
# project's own packages, of which older builds of the same version may be there.
cache=$(dotnet nuget locals global-packages --list | sed 's/^global-packages: //')
mkdir "$work/others"
find "$cache" -mindepth 1 -maxdepth 1 ! -iname 'nativeopt*' -exec ln -s -t "$work/others" {} +
export NUGET_PACKAGES=$work/cache NUGET_FALLBACK_PACKAGES=$work/others
cat >"$work/nuget.config" <<END
<configuration><packageSources><clear /><add key="feed" value="$feed" /></packageSources></configuration>
END

fail() { echo "FAILED: $*" >&2; exit 1; }

# The first C# block of a package's readme is its program.
example() { awk '/^```csharp/ { inside = 1; next } /^```/ { if (inside) exit } inside' "$root/packaging/readme/$1.md"; }

new_project() { # name package...
    local package
    dotnet new console --no-restore -o "$work/$1" >/dev/null
    for package in "${@:2}"; do
        (cd "$work/$1" && dotnet add package "$package" >"$work/log" 2>&1) || { cat "$work/log"; fail "dotnet add package $package"; }
    done
}

# Runs a command in a folder and looks for the line "loss NUMBER".
trains() { # folder command...
    local said
    said=$(cd "$work/$1" && "${@:2}") || { echo "$said"; fail "the example in $1 did not run"; }
    echo "$said"
    awk '$1 == "loss" && $2 < 0.01 { trained = 1 } END { exit !trained }' <<<"$said" || fail "the example in $1 did not train"
}

echo "-- a new console project, NativeOpt, six lines"
new_project console NativeOpt
example NativeOpt >"$work/console/Program.cs"
trains console dotnet run

# Publishes that program without a warning and runs it.
publishes() { # folder option...
    (cd "$work/console" && dotnet publish -v q -o "$work/$1" -warnaserror -p:DebugType=none "${@:2}") || fail "dotnet publish ${*:2}"
    trains "$1" "./console"
}
one_file=(-p:PublishSingleFile=true -p:IncludeNativeLibrariesForSelfExtract=true)
is_one_file() { [ "$(ls "$work/$1")" = console ] || fail "there is more than one file: $(ls "$work/$1")"; }

echo "-- the same as one file, with the native library inside"
publishes single --ucr --self-contained false "${one_file[@]}"
is_one_file single

echo "-- the same with the runtime"
publishes contained -r linux-x64 --self-contained

echo "-- the same with the runtime, trimmed, as one file"
publishes trimmed -r linux-x64 --self-contained -p:PublishTrimmed=true -p:TrimmerSingleWarn=false "${one_file[@]}"
is_one_file trimmed

echo "-- the same as machine code"
publishes compiled -r linux-x64 -p:PublishAot=true -p:TrimmerSingleWarn=false

echo "-- the same for every platform, as a plugin of a program that knows nothing of NativeOpt"
publishes portable
dotnet new console --no-restore -o "$work/host" >/dev/null
cp "$root/tests/packages/PluginHost.cs" "$work/host/Program.cs"
trains host dotnet run -- "$work/portable/console.dll"

echo "-- the same for a platform that there is no native library for, which is an error that names the remedy"
if said=$(cd "$work/console" && dotnet publish -v q -r win-x64 --self-contained false -p:UseAppHost=false -o "$work/windows" 2>&1); then
    fail "dotnet publish -r win-x64 went on without a native library"
fi
grep -q 'error NOPT1006: .*win-x64 (libnativeopt.dll).*NativeOptSkipNativeCheck' <<<"$said" || fail "$said"

echo "-- a new console project, NativeOpt.TorchSharp, the example of its readme"
# The restore of the solution has brought libtorch, and its version is the one to take.
libtorch=$(sed -n 's/.*Include="libtorch-cpu-linux-x64" Version="\([^"]*\)".*/\1/p' "$root/Directory.Packages.props")
new_project torch NativeOpt.TorchSharp "libtorch-cpu-linux-x64@$libtorch"
example NativeOpt.TorchSharp >"$work/torch/Program.cs"
trains torch "$root/.ci/with-newer-libstdcxx" dotnet run

echo "-- the .NET tool, in a folder of its own"
mkdir "$work/elsewhere"
(cd "$work" && dotnet tool install NativeOpt.Cli --tool-path "$work/tool" --configfile "$work/nuget.config" >/dev/null)
(cd "$work/elsewhere" && "$work/tool/nativeopt" train --model tiny --steps 5) | tail -1
test -s "$work/elsewhere/nativeopt-train/losses.svg" || fail "nativeopt train drew nothing"

echo "-- what is in the packages"
"$root/tests/packages/contents.py" "$feed"
