"""The npm packages of `package.json` for a page without a bundler."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "node_modules"
PREBUILT = {"axios": "dist/esm/axios.js"}  # its other entries need a bundler
CONDITIONS = frozenset({"browser", "import", "default"})


def import_map() -> str:
    """Return an import map (https://html.spec.whatwg.org/#import-maps) from package names to files."""
    assert FOLDER.is_dir(), "the npm packages are missing: `make test` installs them"
    imports: dict[str, str] = {}
    for path in sorted([*FOLDER.glob("[!.@]*/package.json"), *FOLDER.glob("@*/*/package.json")]):
        package = json.loads(path.read_text())
        name = package["name"]
        imports[name] = f"/npm/{name}/{_entry(package).removeprefix('./')}"
        for private, target in package.get("imports", {}).items():
            imports[private] = f"/npm/{name}/{(_resolve(target) or '').removeprefix('./')}"
    return json.dumps({"imports": imports})


def read(path: str) -> tuple[bytes, str] | None:
    """Return a package's file and media type. `.js` may be missing from the path, as with bundlers."""
    for name in (path, path + ".js", path + "/index.js"):
        file = (FOLDER / name).resolve()
        if file.is_file() and file.is_relative_to(FOLDER):
            return file.read_bytes(), "text/javascript" if file.suffix in (".js", ".mjs") else "text/plain"
    return None


def _entry(package: dict[str, Any]) -> str:
    if package["name"] in PREBUILT:
        return PREBUILT[package["name"]]
    exports = package.get("exports")
    if isinstance(exports, dict):
        exports = exports.get(".", exports)
    return _resolve(exports) or package.get("module") or package.get("main") or "index.js"


def _resolve(target: Any) -> str | None:
    """Resolve conditional exports for a browser: https://nodejs.org/api/packages.html#conditional-exports."""
    if not isinstance(target, dict):
        return target if isinstance(target, str) else None
    hits = (_resolve(inner) for condition, inner in target.items() if condition in CONDITIONS)
    return next(filter(None, hits), None)
