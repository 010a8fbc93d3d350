#!/usr/bin/env bash
# elsewhere.sh: publishes the command, as one file, from a copy of the sources as other folders and machines have them, and trains
# with it. The path has a comma, nothing may be written beside the sources, what is built goes elsewhere, where a build tree of
# another folder lies already, and no source of packages can be reached, so that what the build needs must have been restored before
# (feed.sh restores the last of it).
set -euo pipefail
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

fail() { echo "FAILED: $*" >&2; exit 1; }

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
sources="$work/a, b (c)"
mkdir "$sources"
(cd "$root" && git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -c) |
    tar -C "$sources" -x
chmod -R a-w "$sources"

built="$work/built elsewhere"
rid=$(dotnet --info | awk '$1 == "RID:" { print $2 }')
mkdir -p "$built/native/$rid/build"
cat >"$built/native/$rid/build/CMakeCache.txt" <<END
CMAKE_CACHEFILE_DIR:INTERNAL=/another/build
CMAKE_HOME_DIRECTORY:INTERNAL=/another
END

cat >"$work/nuget.config" <<END
<configuration><packageSources><clear /><add key="away" value="https://127.0.0.1:9/index.json" /></packageSources></configuration>
END

touch "$work/before"
said=$(cd "$work" && dotnet publish "$sources/managed/NativeOpt.Cli" --artifacts-path "$built" -r "$rid" --self-contained false \
    -p:PublishSingleFile=true -p:IncludeNativeLibrariesForSelfExtract=true -p:RestoreConfigFile="$work/nuget.config" \
    -o "$work/one" 2>&1) || { echo "$said"; fail "the copy does not build"; }
grep -q 'warning NU1900' <<<"$said" || { echo "$said"; fail "the source of packages was reached, or not asked"; }
[ "$(ls "$work/one")" = NativeOpt.Cli ] || fail "there is more than one file: $(ls "$work/one")"
(cd "$work" && one/NativeOpt.Cli train --model tiny --steps 5 --out "$work/run") | tail -1
# Root may write where nobody may.
written=$(find "$sources" -newer "$work/before")
[ -z "$written" ] || fail "the build wrote beside the sources: $written"
echo "built and trained with $sources"
