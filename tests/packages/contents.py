#!/usr/bin/env python3
"""contents.py FOLDER: checks what the packages in FOLDER hold: descriptions, exact dependencies, and native libraries that
need what their readme says."""

import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile
from xml.etree import ElementTree

EXPECTED = {"NativeOpt", "NativeOpt.Interop", "NativeOpt.TorchSharp", "NativeOpt.ILGPU", "NativeOpt.Tensors", "NativeOpt.Cli"}

# What a library may need of a system: the C library, its loader, and the unwinder of GCC.
SYSTEM_LIBRARIES = re.compile(r"^(libc|libm|libdl|librt|libpthread|libgcc_s|ld-linux-[a-z0-9-]+)\.so\.\d+$")
GLIBC = re.compile(r"\bGLIBC_(\d+(?:\.\d+)+)")
ARCHITECTURES = {"linux-x64": "Advanced Micro Devices X86-64", "linux-arm64": "AArch64"}


class Package:
    def __init__(self, path):
        self.files = zipfile.ZipFile(path)
        self.path = path
        (nuspec,) = (name for name in self.files.namelist() if name.endswith(".nuspec"))
        self.metadata = ElementTree.fromstring(self.files.read(nuspec))[0]
        self.id, self.version = self.value("id"), self.value("version")

    def value(self, name):
        found = self.metadata.find("{*}" + name)
        return None if found is None else found.text

    def dependencies(self):
        return {(d.get("id"), d.get("version")) for d in self.metadata.iter() if d.tag.endswith("}dependency")}

    def readme(self):
        return self.files.read("README.md").decode()


def require(condition, text):
    if not condition:
        sys.exit(f"FAILED: {text}")


def check_description(package):
    require(package.value("license") == "MIT", f"{package.id} is not under MIT")
    require(package.value("readme") == "README.md" and len(package.readme()) > 100, f"{package.id} has no readme")
    require(package.value("icon") == "icon.png" and "icon.png" in package.files.namelist(), f"{package.id} has no icon")
    for name, version in package.dependencies():
        if name.startswith("NativeOpt"):
            require(version == f"[{package.version}]", f"{package.id} asks for {name} {version}, and not for exactly {package.version}")


def readelf(option, library):
    return subprocess.run(["readelf", "--wide", option, library], check=True, capture_output=True, text=True).stdout


def version_of(text):
    return tuple(map(int, text.split(".")))


def check_native(package, folder):
    rid = package.id.removeprefix("NativeOpt.Native.")
    name = f"runtimes/{rid}/native/libnativeopt.so"
    require(name in package.files.namelist(), f"{package.id} lacks {name}")
    library = package.files.extract(name, folder)

    require(ARCHITECTURES[rid] in readelf("--file-header", library), f"{name} is not for {rid}")
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", readelf("--dynamic", library))
    others = [entry for entry in needed if not SYSTEM_LIBRARIES.match(entry)]
    require(not others, f"{name} needs {', '.join(others)}")

    newest = max(GLIBC.findall(readelf("--version-info", library)), key=version_of)
    stated = re.search(r"glibc (\d+\.\d+) or newer", package.readme()).group(1)
    require(version_of(newest) <= version_of(stated), f"{name} needs glibc {newest}; the readme says {stated}")

    sections = readelf("--section-headers", library)
    require(".symtab" not in sections and ".gnu_debuglink" in sections, f"{name} is not stripped, or does not name its symbols")
    symbols = package.path.with_suffix(".debug")
    require(symbols.exists() and ".debug_line" in readelf("--section-headers", symbols), f"{symbols} is missing or has no lines")
    require("nopt_optimizer_step" in readelf("--dyn-syms", library), f"{name} does not export the C API")
    cuda = ".nv_fatbin" in sections
    print(f"{package.id}: {pathlib.Path(library).stat().st_size:,} bytes, {'with' if cuda else 'without'} CUDA, "
          f"glibc {newest}, needs {' '.join(needed)}")


def main():
    packages = [Package(path) for path in sorted(pathlib.Path(sys.argv[1]).glob("*.nupkg"))]
    ids = {package.id for package in packages}
    require(EXPECTED <= ids, f"there is no {', '.join(sorted(EXPECTED - ids))}")
    native = [package for package in packages if package.id.startswith("NativeOpt.Native.linux-")]
    require(native, "there is no native package for Linux")
    for package in packages:
        check_description(package)
    (interop,) = (package for package in packages if package.id == "NativeOpt.Interop")
    require({p.id for p in packages if p.id.startswith("NativeOpt.Native.")} == {name for name, _ in interop.dependencies()},
            "NativeOpt.Interop does not depend on the native packages beside it")
    with tempfile.TemporaryDirectory() as folder:
        for package in native:
            check_native(package, folder)
    print(f"{len(packages)} packages: {', '.join(sorted(ids))}")


if __name__ == "__main__":
    main()
