"""Small random models of each architecture, and a tokenizer of bytes, made here."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # transformers reads it when it is imported

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

import horizon_widget as hw
from horizon_widget.models import thread
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.query import Query
from horizon_widget.schedule.controller import Controller
from tests.architectures import ARCHITECTURES, small_model
from tests.vocabularies import byte_level
from tests.widgets import PROMPT as PROMPT
from tests.widgets import Recorder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real Chromium, by Playwright; one for all tests, because it cannot run twice in a process."""
    from playwright.sync_api import sync_playwright

    from tests.browser.chromium import find_chromium
    from tests.browser.lab import CHROMIUM_FLAGS

    path = find_chromium()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


STORY = (
    "Anna kept the key to the old library in a blue tin on the shelf by the window. Every evening, after the last "
    "visitor had gone, she walked past the long rows of books, turned off the lamps, and locked the heavy door behind "
    "her. One night the tin was empty, and the librarian knew at once that the library would stay closed until someone "
    "found the key. She called Tom and waited in the rain."
)


@pytest.fixture(scope="session")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each byte of UTF-8, so that an emoji is four tokens."""
    return byte_level()


def tiny_llama(attention: str = "sdpa", **settings: Any) -> Any:
    return small_model("llama", attention, **settings)


def tiny_gpt2(attention: str = "sdpa") -> Any:
    return ARCHITECTURES["gpt2"](attention)


EAGER = ("llama", "gpt2", "gemma3_text", "falcon, alibi")


def architectures(*names: str, quick: tuple[str, ...] = ("llama",)) -> list[Any]:
    """Parameters of a test. The quick half of the tests uses only a few of them."""
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.every_architecture) for name in names]


EVERY = (*ARCHITECTURES, *(f"{name}, eager attention" for name in EAGER))


@pytest.fixture(scope="session", params=architectures(*EVERY, quick=("llama", "gpt2", "mamba")))
def any_model(request: pytest.FixtureRequest, byte_tokenizer: Any) -> hw.Model:
    """Each architecture in turn."""
    name, _, attention = request.param.partition(", eager")
    return hw.load_model(ARCHITECTURES[name]("eager" if attention else "sdpa"), tokenizer=byte_tokenizer)


@pytest.fixture
def model(byte_tokenizer: Any) -> hw.Model:
    """A small Llama, fresh for each test."""
    return hw.load_model(tiny_llama(), tokenizer=byte_tokenizer)


@pytest.fixture(scope="session")
def demo_model() -> hw.Model:
    """The real demo model."""
    return hw.load_model("demo")


@pytest.fixture
def held_model_thread() -> Iterator[Callable[[], None]]:
    """Keeps the model thread busy until called, so that a test can ask several things before the first is done."""
    import threading

    busy, gate = threading.Event(), threading.Event()
    thread.submit(lambda: (busy.set(), gate.wait()))
    busy.wait()
    yield gate.set
    gate.set()


@pytest.fixture
def widget(model: hw.Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[hw.HorizonWidget]:
    """A widget that records messages to the browser in ``sent``."""
    sent: list[Any] = []
    monkeypatch.setattr(
        hw.HorizonWidget, "send", lambda self, content, buffers=None: sent.append((content, buffers or []))
    )
    made = hw.HorizonWidget(model, PROMPT, baseline="zero")
    made.sent = sent
    yield made
    made.close()


@pytest.fixture
def recorder() -> Recorder:
    """A record of a controller's messages."""
    return Recorder()


@pytest.fixture
def controller(model: hw.Model, recorder: Recorder) -> Iterator[Controller]:
    """A controller that shows layer 2 of a small model."""
    made = Controller(model, Query(model.tokenize(PROMPT), baseline=Baseline("zero")), layer=2, listener=recorder)
    yield made
    made.close()
