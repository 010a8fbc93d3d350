#!/usr/bin/env bash
# Makes the documentation a site, in artifacts/docs/site. A link that leads nowhere is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
out=artifacts/docs
rm -rf "$out/generated" "$out/site"
mkdir -p "$out/generated"

# The assemblies with their comments, and the packages that they refer to. They build the native library, too, unless the
# environment variable NativeOptSkipNativeBuild is true.
for package in ILGPU Tensors TorchSharp; do
    dotnet publish "managed/NativeOpt.$package" -c Release -f net10.0 -o "$out/assemblies" -v q
done

# The page of the C API is the header, with a heading for each of its sections.
awk '
    BEGIN { print "# The C API\n\nThis is `nativeopt.h`, section by section; [C and C++](../../../docs/c.md) is the way in.\n\n## Rules that hold for every function\n\n```c" }
    /^\/\* ---- .* ---- \*\/$/ {
        gsub(/^\/\* ---- | ---- \*\/$/, "")
        printf "```\n\n## %s%s\n\n```c\n", toupper(substr($0, 1, 1)), substr($0, 2)
        next
    }
    { print }
    END { print "```" }' native/include/nativeopt/nativeopt.h >"$out/generated/c-api.md"

dotnet tool restore >/dev/null
dotnet docfx docfx.json --warningsAsErrors

# A page of each source: the README, the header, and the assembly of each package.
for page in index README c-api api/NativeOpt.AdamW api/NativeOpt.{IlgpuTensors,TensorExtensions} api/NativeOpt.TorchSharp.nativeopt.optim; do
    [ -s "$out/site/$page.html" ] || { echo "the site has no $page.html" >&2; exit 1; }
done
echo "$out/site: $(find "$out/site" -name '*.html' | wc -l) pages"
