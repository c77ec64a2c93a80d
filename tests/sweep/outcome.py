"""What becomes of one architecture: does it load, and is every value what plain hooks give?"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np
import torch

import horizon_widget as hw
from horizon_widget.compute import experiment
from horizon_widget.errors import HorizonError
from horizon_widget.models.loading import first_line
from tests.architectures import small_model
from tests.sweep import plain
from tests.vocabularies import byte_level

SHORT = tuple(3 + 17 * i % 200 for i in range(12))
LONG = tuple(5 + 31 * i % 211 for i in range(40))
TOLERANCE = 1e-3  # of the largest value that is expected, in float32
SITES = ("attention_output", "mlp_output", "key", "value")


@dataclass
class Outcome:
    """What the sweep found out about one architecture.

    Attributes:
        name: One of ``tests.architectures.EVERY_TYPE``.
        deviations: For each check, the largest deviation from plain hooks relative to the largest value.
        wrong: The checks whose deviation is too large.
        refused: The checks that the package refuses, and how.
        crashed: The checks that raise an error that is not the package's own, and which.
        sites: The sites that are offered, and ``residual``.
        strategies: The execution strategy of each use and site that was asked for.
        trial_s: Processor seconds of the slowest trial.
        seconds: Processor seconds of everything.
        aborts: Whether the process ends.
    """

    name: str
    deviations: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    crashed: dict[str, str] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)
    strategies: dict[str, str] = field(default_factory=dict)
    trial_s: float = 0.0
    seconds: float = 0.0
    aborts: str = ""

    @property
    def kind(self) -> str:
        """The worst that happened: "aborts", "wrong", "crash", "refused" or "right"."""
        if self.aborts:
            return "aborts"
        if self.wrong:
            return "wrong"
        if self.crashed:
            return "crash"
        return "refused" if "load" in self.refused or "ablation" in self.refused else "right"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return {"outcome": self.kind, **asdict(self)}


def outcome_of(name: str) -> Outcome:
    """Sweep one architecture."""
    start = time.process_time()
    hf_model = small_model(name)
    with torch.no_grad():
        result = _Sweep(name, hf_model).outcome
    result.seconds = time.process_time() - start
    gc.collect()
    return result


class _Sweep:
    """The checks of one model, in order. Later ones use what earlier ones found."""

    def __init__(self, name: str, hf_model: Any) -> None:
        self.outcome, self.hf_model = Outcome(name), hf_model
        self.parts = plain.Parts(hf_model)
        self.blocks = self.parts.modules
        with _timing(self.outcome):
            if self._try("load", self._load) and self._try("ablation", self._ablation):
                for check in (
                    self._blocks,
                    self._causal,
                    self._alone,
                    self._default_baseline,
                    self._divergence,
                    self._gradient,
                    self._direct,
                    self._long,
                    self._bfloat16,
                ):
                    self._try(check.__name__.strip("_"), check)
                for site in SITES:
                    self._try(site, lambda site=site: self._site(site))

    def _try(self, check: str, work: Callable[[], None]) -> bool:
        try:
            work()
        except HorizonError as error:
            self.outcome.refused[check] = str(error)
        except Exception as error:
            ours = [frame for frame in extract_tb(error.__traceback__) if "/horizon_widget/" in frame.filename]
            if not ours:
                raise  # a fault of the sweep itself
            self.outcome.crashed[check] = f"{first_line(error)} ({Path(ours[-1].filename).name}, {ours[-1].name})"
        else:
            self._note_strategies()
            return True
        return False

    def _note_strategies(self) -> None:
        """A model that changes itself is tried anew, so this is noted after each check."""
        self.outcome.strategies |= {
            f"{key[0]} {key[1]}": strategy for key, (_, strategy) in self.model.tried.items() if isinstance(key, tuple)
        }

    def _compare(self, check: str, got: Any, expected: Any) -> None:
        got, expected = np.asarray(got), np.asarray(expected)
        scale = max(float(np.abs(expected).max()), 0.1)
        self._note(check, float(np.abs(got - expected).max()) / scale, TOLERANCE)

    def _note(self, check: str, deviation: float, tolerance: float) -> None:
        self.outcome.deviations[check] = max(deviation, self.outcome.deviations.get(check, 0.0))
        if not deviation <= tolerance and check not in self.outcome.wrong:
            self.outcome.wrong.append(check)

    def _attribute(self, ids: Any = SHORT, model: Any = None, **options: Any) -> Any:
        given = {"baseline": "zero", "progress": False, **options}
        return hw.attribute(self.model if model is None else model, list(ids), **given)

    def _rows(self, check: str, hmap: Any, cells: Any, **options: Any) -> None:
        ids = hmap.query.token_ids
        for layer, source in cells:
            expected = plain.ablated_row(self.hf_model, self.blocks, ids, layer, source, **options)
            self._compare(check, hmap.values.values[layer, source, source:], expected[source:])

    # -- the checks ----------------------------------------------------------------------------------------------

    def _load(self) -> None:
        self.model = hw.load_model(self.hf_model, tokenizer=byte_level())

    def _ablation(self) -> None:
        self.map = self._attribute(sources=[0, 2, 4, 6])
        self.last = self.model.n_layers - 1
        self._rows("ablation", self.map, [(0, 0), (0, 4), (1, 2), (self.last - 1, 6), (self.last, 2)])
        self.outcome.sites.append("residual")

    def _blocks(self) -> None:
        """Each block is one layer, and is called once."""
        once = list(range(self.model.n_layers)) == self.parts.calls
        self._compare("blocks are called once", [len(self.parts.calls)], [self.model.n_layers] if once else [0])

    def _causal(self) -> None:
        self._compare("causal", [1], [1 if plain.is_causal(self.hf_model, SHORT) else 0])

    def _alone(self) -> None:
        fresh = hw.load_model(self.hf_model, tokenizer=byte_level())
        layer, source, target = self.last - 1, 4, 9
        cell = self._attribute(model=fresh, layers=layer, sources=[source], targets=[target])
        at = (layer, source, target - 1)
        self._compare("alone", cell.values.values[at], self.map.values.values[at])

    def _default_baseline(self) -> None:
        hmap = self._attribute(baseline="auto", sources=[2, 7])
        states = plain.states_entering(self.hf_model, self.blocks, SHORT)
        for layer in (0, self.last - 1, self.last):
            if hmap.dataset["baseline"].values[layer] == "mean":
                mean = states[layer][1:].mean(dim=0)
                self._rows("default_baseline", hmap, [(layer, 2), (layer, 7)], state=mean)

    def _divergence(self) -> None:
        hmap = self._attribute(metric="kl", layers=[1], sources=[3])
        self._rows("divergence", hmap, [(1, 3)], metric="kl")

    def _gradient(self) -> None:
        hmap = self._attribute(method="gradient", targets=[6, 11])
        for target in (6, 11):
            expected = plain.gradient_column(self.hf_model, self.blocks, SHORT, target)[:, :target]
            self._compare("gradient", hmap.values.values[:, :target, target - 1], expected)

    def _direct(self) -> None:
        for ids, layer, source in ((SHORT, 0, 3), (SHORT, self.last - 1, 8), (LONG, 1, 36)):
            got = hw.direct(self.model, list(ids), layer, [source], baseline="zero")["direct"].values[0]
            expected = plain.direct_row(self.hf_model, self.blocks, ids, layer, source)
            self._compare("direct", got[source:], expected[source:])

    def _long(self) -> None:
        layers = (0, self.last - 1)
        hmap = self._attribute(LONG, layers=layers, sources=[1, 20, 33])
        self._rows("long", hmap, [(layer, source) for layer in layers for source in (1, 20, 33)])

    def _bfloat16(self) -> None:
        """At most twice as far from what the same weights give in float32 as plain passes in bfloat16 are."""
        rounded = small_model(self.outcome.name).to(torch.bfloat16)
        cells = [(0, 5), (1, 3), (self.last, 2)]
        try:
            theirs = _clean_and_rows(rounded, cells)
        except RuntimeError:
            return  # the architecture itself does not run in bfloat16
        model = hw.load_model(rounded, tokenizer=byte_level())
        hmap = self._attribute(model=model, layers=[layer for layer, _ in cells], sources=[5, 3, 2])
        rows = [hmap.values.values[layer, source, source:] for layer, source in cells]
        ours = (hmap.dataset["clean_metric"].values, np.concatenate(rows))
        truths = _clean_and_rows(rounded.float(), cells)
        eps = torch.finfo(torch.bfloat16).eps
        rounding = [_rms(their - truth) / _rms(truth) for their, truth in zip(theirs, truths, strict=True)]
        # the same pass, so closer to the plain one than that is to the truth: a factor of the logits shows here
        self._note("bfloat16_clean", _rms(ours[0] - theirs[0]) / _rms(truths[0]), (rounding[0] + eps) / 4)
        self._note("bfloat16", _rms(ours[1] - truths[1]) / _rms(truths[1]), 2 * rounding[1] + eps)

    def _site(self, site: str) -> None:
        """Zeros at a site are zeros that attention reads, or that a block adds."""
        layer = next(layer for layer in (1, 2, 3, 0) if self._has(site, layer))
        source = 3
        hmap = self._attribute(site=site, layers=[layer], sources=[source])
        clean = plain.logits(self.hf_model, SHORT)
        module = self.blocks[layer].get_submodule(self.model.layout.place(site).module)
        if site in ("key", "value"):
            with plain.attention_reads_zeros(self.hf_model, layer, source, site) as called:
                ablated = plain.logits(self.hf_model, SHORT)
            comparable = layer in called
        else:
            with plain.leaving(module, source, len(SHORT)):
                ablated = plain.logits(self.hf_model, SHORT)
            comparable = True
        if comparable:
            expected = plain.effect(clean, ablated, SHORT)
            self._compare(site, hmap.values.values[layer, source, source:], expected[source:])
        self.outcome.sites.append(site)
        if {"attention_output", "mlp_output"} <= set(self.outcome.sites) and layer < self.last:
            self._nothing_added(layer, source)

    def _nothing_added(self, layer: int, source: int) -> None:
        """A block that adds neither passes the state on unchanged."""
        with ExitStack() as stack:
            for site in ("attention_output", "mlp_output"):
                module = self.blocks[layer].get_submodule(self.model.layout.place(site).module)
                stack.enter_context(plain.leaving(module, source, len(SHORT)))
            states = plain.states_entering(self.hf_model, self.blocks, SHORT)
        self._compare("nothing added", states[layer + 1][source], states[layer][source])

    def _has(self, site: str, layer: int) -> bool:
        place = self.model.layout.place(site)
        return place is None or any(name == place.module for name, _ in self.blocks[layer].named_modules())


def _rms(values: Any) -> float:
    return float(np.sqrt((values**2).mean()))


def _clean_and_rows(hf_model: Any, cells: Any) -> tuple[Any, Any]:
    """Log-probabilities of the unchanged prompt, and plain rows of several cells, one after another."""
    blocks = plain.Parts(hf_model).modules
    rows = [plain.ablated_row(hf_model, blocks, SHORT, layer, source)[source:] for layer, source in cells]
    return plain.logprobs(plain.logits(hf_model, SHORT), SHORT).numpy(), torch.cat(rows).numpy()


@contextmanager
def _timing(outcome: Outcome) -> Iterator[None]:
    """Note the seconds of the slowest trial."""
    own = experiment.strategy_for

    def timed(*args: Any) -> str:
        start = time.thread_time()
        try:
            return own(*args)
        finally:
            outcome.trial_s = max(outcome.trial_s, time.thread_time() - start)

    experiment.strategy_for = timed
    try:
        yield
    finally:
        experiment.strategy_for = own
