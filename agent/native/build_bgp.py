# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the package `gw_gobgp`: what gobgpd's gRPC interface looks like from Python.

Usage: build_bgp.py OUTPUT_FOLDER. The interface is that of the gobgpd which this Debian has: its
package of sources brings the .proto files, and protoc turns them into Python.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path("/usr/share/gocode/src/github.com/osrg/gobgp/api")
FILES = ("attribute.proto", "capability.proto", "gobgp.proto")
# Of protobuf's own types. protoc would find it by where it is itself, which takes /proc.
INCLUDED = Path("/usr/include")
PACKAGE = "gw_gobgp"


def main(output: str) -> None:
    plugin = shutil.which("grpc_python_plugin")
    if not plugin:
        sys.exit("build_bgp.py: no grpc_python_plugin (Debian: protobuf-compiler-grpc)")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        # Below a name of ours, or the modules would be the top-level `attribute_pb2` and so on.
        source = Path(scratch, PACKAGE)
        source.mkdir()
        for name in FILES:
            text = (PROTOS / name).read_text(encoding="utf-8")
            text = re.sub(r'^import "(?!google/)', f'import "{PACKAGE}/', text, flags=re.MULTILINE)
            (source / name).write_text(text, encoding="utf-8")
        built = Path(scratch, "built")
        built.mkdir()
        subprocess.run(
            [
                *("protoc", f"--proto_path={scratch}", f"--proto_path={INCLUDED}"),
                f"--python_out={built}",
                *(f"--plugin=protoc-gen-grpc={plugin}", f"--grpc_out={built}"),
                *(f"{PACKAGE}/{name}" for name in FILES),
            ],
            check=True,
        )
        (built / PACKAGE / "__init__.py").touch()
        shutil.copytree(built / PACKAGE, folder / PACKAGE, dirs_exist_ok=True)


if __name__ == "__main__":
    main(sys.argv[1])
