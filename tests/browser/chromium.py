"""Finds a Chromium for the browser tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
VARIABLE = "HORIZON_WIDGET_CHROMIUM"


def find_chromium() -> str:
    """Return the path of a Chromium, or skip the test; in CI (``CI`` is set) fail it.

    Searched in this order: the environment variable HORIZON_WIDGET_CHROMIUM, ``PATH``, Playwright's own, Debian's
    package (installed if this is allowed: as root).
    """
    found = _chosen() or _on_path() or _of_playwright() or _from_debian()
    if found is None:
        reason = (
            f"No Chromium was found. Install one (Debian: apt-get install chromium; or: playwright install chromium), "
            f"or name one in the environment variable {VARIABLE}."
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _chosen() -> str | None:
    chosen = os.environ.get(VARIABLE)
    if chosen and shutil.which(chosen) is None:
        pytest.fail(f"{VARIABLE} is {chosen!r}, and there is no such program.")
    return chosen or None


def _on_path() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def _of_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


def _from_debian() -> str | None:
    apt_get = shutil.which("apt-get")
    if apt_get is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            [apt_get, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            print(done.stdout[-2000:])
            return None
    return _on_path()
