#!/usr/bin/env bash
# public-api.sh [PROJECT.csproj...]: writes down what users of a library can call, in PublicAPI.Unshipped.txt beside its project;
# by default for all libraries that have that file. Builds fail while the two differ. At a release, the lines of
# PublicAPI.Unshipped.txt move to PublicAPI.Shipped.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || set -- $(find managed -name PublicAPI.Unshipped.txt -printf '%h/*.csproj ')

for project in "$@"; do
    folder=$(dirname "$project")
    [ -e "$folder/PublicAPI.Shipped.txt" ] || echo '#nullable enable' >"$folder/PublicAPI.Shipped.txt"
    echo '#nullable enable' >"$folder/PublicAPI.Unshipped.txt"
    dotnet restore "$project" -v q
    dotnet format analyzers "$project" --no-restore --diagnostics RS0016 --severity info
    echo "$folder/PublicAPI.Unshipped.txt: $(wc -l <"$folder/PublicAPI.Unshipped.txt") lines"
done
