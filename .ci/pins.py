"""Print the versions in uv.lock as pip constraints, for machines without uv."""

import tomllib
from pathlib import Path

lock = tomllib.loads((Path(__file__).parent.parent / "uv.lock").read_text())
for package in lock["package"]:
    if "registry" in package["source"]:
        # A package locked at several versions says for which Python each one is.
        markers = " or ".join(f"({marker})" for marker in package.get("resolution-markers", []))
        print(f"{package['name']}=={package['version']}" + (f" ; {markers}" if markers else ""))
