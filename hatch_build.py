"""Build hook: puts the built front end into wheels, source distributions and editable installations."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FrontEndBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the front end when it is missing or older than its sources; Node comes from PATH or from PyPI."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """The packages to install before the build: Node, if it is needed and missing."""
        root = Path(self.root)
        return list(_front_end(root).missing_packages(root))

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build, before the files are collected."""
        root = Path(self.root)
        front_end = _front_end(root)
        try:
            front_end.build(root)
        except front_end.FrontEndError as error:
            self.app.abort(str(error))


def _front_end(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("front_end", root / "scripts" / "front_end.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(root / "scripts" / "front_end.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
