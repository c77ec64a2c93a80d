"""Processes forked from a process with a model, and objects sent between processes."""

import copy
import importlib
import multiprocessing
import os
import pickle
import pkgutil
import threading
import traceback
from concurrent.futures import Future

import numpy as np
import pytest
import torch

import horizon_widget as hw
from horizon_widget.api.attribute import AttributionInterrupted
from horizon_widget.errors import HorizonError, HostError
from horizon_widget.models import thread
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.schedule import idle
from horizon_widget.schedule.engine import Engines
from horizon_widget.widget import trait_lock
from tests.conftest import PROMPT, STORY
from tests.stand_ins import remote_model

LIMIT = 60  # seconds; a child that takes longer hangs
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")]


def in_child(work):
    """Run ``work`` in a forked process. Returns its result, raises its error, and kills a child that hangs."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)

    def answer():
        try:
            sending.send(work())
        except BaseException as error:
            traceback.print_exc()
            sending.send(error)

    child = context.Process(target=answer)
    child.start()
    try:
        assert receiving.poll(LIMIT), f"the forked process gave no answer within {LIMIT} s"
        answered = receiving.recv()
    finally:
        child.kill()
        child.join(LIMIT)
    if isinstance(answered, BaseException):
        raise answered
    return answered


def row(model, **arguments):
    arguments = {"layers": 1, "sources": 3, "baseline": "zero", "progress": False} | arguments
    return hw.attribute(model, PROMPT[:12], **arguments).values.values[1, 3]


# -- forks ---------------------------------------------------------------------------------------------------------


@forks
@pytest.mark.parametrize("method", ["ablation", "gradient"])
def test_a_forked_process_computes_the_same_values(model, method):
    expected = row(model, method=method)
    model.cache.clear()
    np.testing.assert_array_equal(in_child(lambda: row(model, method=method)), expected)
    model.cache.clear()
    np.testing.assert_array_equal(row(model, method=method), expected)


@forks
def test_a_pool_of_forked_processes_answers(model):
    """A thread of the parent has computed. Each process makes its own thread."""
    expected = [row(model, sources=source) for source in range(4)]
    global _of_pool
    _of_pool = model
    with multiprocessing.get_context("fork").Pool(2) as pool:
        got = pool.map_async(_pooled_row, range(4)).get(LIMIT)
    np.testing.assert_array_equal(got, expected)


def _pooled_row(source):
    return row(_of_pool, sources=source)


@forks
@pytest.mark.demo_model
def test_a_forked_process_computes_with_several_threads(demo_model):
    """The OpenMP threads of the main thread and of the model thread are gone in the child."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        prompt = " ".join(STORY.split()[:12])
        with torch.no_grad():
            demo_model.hf_model(torch.tensor([list(demo_model.tokenize(prompt))]))

        def computed_anew():
            demo_model.cache.clear()
            asked = {"layers": -2, "sources": 3, "baseline": "zero", "progress": False}
            return hw.attribute(demo_model, prompt, **asked).values.values[-2, 3]

        expected = computed_anew()
        np.testing.assert_allclose(in_child(computed_anew), expected, atol=1e-4)
    finally:
        torch.set_num_threads(before)


@forks
def test_a_fork_waits_for_the_computation_under_way(model):
    """Without waiting, the hooks of the computation under way would stay on the child's model."""
    expected = row(model)
    model.cache.clear()
    forking, handles = threading.Event(), []

    def silences(_module, _args, output):
        return output * 0.0

    def computes():
        handles.append(model.hf_model.model.layers[2].mlp.register_forward_hook(silences))
        begun.set_result(None)
        assert forking.wait(LIMIT)
        handles.pop().remove()

    begun = Future()
    thread.submit(computes)
    begun.result(LIMIT)
    os.register_at_fork(before=forking.set)  # the handler registered last is called first
    np.testing.assert_array_equal(in_child(lambda: row(model)), expected)


@forks
def test_a_fork_waits_for_one_piece_of_queued_work_only(model):
    """A widget that fills its map queues work like this."""
    expected = row(model)
    model.cache.clear()
    enough, ended = threading.Event(), threading.Event()

    def piece():
        torch.rand(200, 200) @ torch.rand(200, 200)
        if enough.is_set():
            ended.set()
        else:
            thread.submit(piece)

    thread.submit(piece)
    try:
        np.testing.assert_array_equal(in_child(lambda: row(model)), expected)
        assert not ended.is_set()
    finally:
        enough.set()
        assert ended.wait(LIMIT)


@forks
def test_a_process_forked_during_a_computation_refuses_to_use_models(model, held_model_thread, monkeypatch):
    monkeypatch.setattr(thread, "FORK_WAITS", 0.05)
    thread.submit(lambda: None)
    with pytest.raises(HorizonError, match=r"forked while a model was computing.*spawn"):
        in_child(lambda: row(model))
    with pytest.raises(HorizonError, match="forked while a model was computing"):
        in_child(lambda: in_child(lambda: row(model)))
    held_model_thread()
    assert np.isfinite(row(model)).all(), "the parent still computes"


@forks
def test_a_process_forked_by_a_computation_refuses_to_use_models(model):
    """For example by a metric that uses a pool or a data loader."""
    refused = []

    def metric(logits, _ids):
        if not refused:
            with pytest.raises(HorizonError, match="forked while a model was computing"):
                in_child(lambda: row(model))
            refused.append(True)
        return logits[:, 0]

    row(model, metric=metric)
    assert refused


@forks
def test_a_forked_process_can_ask_a_remote_model(model):
    """The thread of the remote model, which waits for the host, is gone in the child too."""
    remote = remote_model(copy.deepcopy(model.hf_model), model.tokenizer)
    expected = row(remote)
    remote.cache.clear()
    np.testing.assert_array_equal(in_child(lambda: row(remote)), expected)


@forks
def test_a_model_on_a_gpu_is_refused_in_a_forked_process(model):
    """The device's name stands in for a GPU. No forked process can use CUDA after its parent."""
    row(model)
    model.device = torch.device("cuda:0")
    with pytest.raises(hw.ModelError, match=r"cuda:0.*forked process.*spawn"):
        in_child(lambda: row(model))


@forks
@pytest.mark.parametrize("lock", [Engines()._lock, idle._lock, trait_lock._left_lock, trait_lock._lock])
def test_locks_held_by_other_threads_are_free_in_a_forked_process(widget, lock):
    """The child uses each lock: it computes a map, opens another widget and sets traits."""
    widget.wait(timeout=LIMIT)
    thread.run(lambda: None)  # the widget has no more to tell
    held, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait(LIMIT)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(LIMIT)

    def uses_all_of_them():
        other = hw.HorizonWidget(widget._model, PROMPT, baseline="zero")
        other.selected_layer = 1
        return other.wait(timeout=LIMIT).cell(1, 3, 5)

    try:
        value = in_child(uses_all_of_them)
    finally:
        done.set()
        holder.join(LIMIT)
    widget.selected_layer = 1
    assert value == widget.wait(timeout=LIMIT).cell(1, 3, 5)


@forks
def test_a_trait_lock_held_by_the_forking_thread_is_released_in_both_processes(widget):
    """An observer that forks holds the trait lock, and its copy in the child releases it."""

    def nested():
        with trait_lock.held():
            pass
        return trait_lock._depth

    with trait_lock.held():
        assert in_child(nested) == 1
    assert in_child(lambda: trait_lock._depth) == 0


@pytest.mark.long
@forks
def test_a_widget_in_a_forked_process_says_that_it_does_not_compute(widget, held_model_thread, monkeypatch):
    """Its step is queued on a thread that does not exist in the child, and the lock may be held."""
    widget.resume()
    with pytest.raises(HorizonError, match=r"copy in a forked process.*hw\.attribute"):
        in_child(lambda: widget.wait(timeout=LIMIT))
    with widget._running._condition:
        held, done = threading.Event(), threading.Event()

    def hold():
        with widget._running._condition:
            held.set()
            done.wait(LIMIT)

    monkeypatch.setattr(thread, "FORK_WAITS", 0.05)
    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(LIMIT)
    try:
        assert in_child(lambda: (setattr(widget, "selected_layer", 1), widget.close(), "closed")[-1]) == "closed"
    finally:
        done.set()
        holder.join(LIMIT)


# -- errors --------------------------------------------------------------------------------------------------------


def _all_errors():
    """Every exception class of the package, with all modules imported."""
    for module in pkgutil.walk_packages(hw.__path__, "horizon_widget."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, left = set(), [BaseException]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if kind.__module__.partition(".")[0] == "horizon_widget":
            found.add(kind)
    return sorted(found, key=lambda kind: kind.__name__)


def _examples(kind):
    """Examples of an exception as the package makes it, if its constructor takes more than a text."""
    return {
        "QueryError": lambda: kind("prompt", "it is empty.", advice="Give a text."),
        "HostError": lambda: kind("lost", "It was lost.", advice="Again.", detail="a traceback", may_repeat=True),
        "CancelledError": kind,
        "AttributionInterrupted": lambda: kind("a map"),
        "ModelError": lambda: kind("It is in training mode.", advice="Call eval()."),
    }.get(kind.__name__, lambda: kind("It is so."))()


@pytest.mark.parametrize("kind", _all_errors(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("sent", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_every_error_is_complete_in_another_process(kind, sent):
    error = _examples(kind)
    error.noted = ["anything"]
    arrived = sent(error)
    assert type(arrived) is kind
    assert str(arrived) == str(error)
    assert arrived.args == error.args
    assert vars(arrived) == vars(error)


def test_the_list_of_errors_is_complete():
    names = {kind.__name__ for kind in _all_errors()}
    assert {"HorizonError", "QueryError", "AttributionInterrupted", "ProtocolError", "CancelledError"} <= names


@forks
def test_an_error_raised_in_a_pool_arrives_with_its_field_and_advice(model):
    global _of_pool
    _of_pool = model
    with multiprocessing.get_context("fork").Pool(1) as pool:
        with pytest.raises(hw.QueryError, match="sources: 99 is out of range") as caught:
            pool.apply_async(_pooled_row, (99,)).get(LIMIT)
    assert caught.value.field == "sources"
    assert caught.value.advice


def test_an_interruption_brings_the_finished_rows(model):
    hmap = hw.attribute(model, PROMPT, layers=1, progress=False)
    arrived = pickle.loads(pickle.dumps(AttributionInterrupted(hmap)))
    assert isinstance(arrived, KeyboardInterrupt)
    np.testing.assert_array_equal(arrived.map.values.values, hmap.values.values)


# -- copying and sending -------------------------------------------------------------------------------------------

COPIES = pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])


@COPIES
def test_a_model_in_memory_cannot_be_copied_and_the_error_says_what_to_do(model, copied):
    with pytest.raises(hw.ModelError, match=r"LlamaForCausalLM cannot be copied or pickled.*hw\.load_model"):
        copied(model)
    assert np.isfinite(row(model)).all()


@pytest.mark.demo_model
def test_the_error_for_a_model_loaded_by_name_says_how_to_load_it_again(demo_model):
    with pytest.raises(hw.ModelError, match=r"hw\.load_model and 'demo'"):
        pickle.dumps(demo_model)


def test_a_remote_model_cannot_be_copied(model):
    with pytest.raises(hw.ModelError, match="cannot be copied or pickled"):
        pickle.dumps(remote_model(model.hf_model, model.tokenizer))


@COPIES
def test_a_widget_cannot_be_copied_and_the_error_says_what_to_do(widget, copied):
    with pytest.raises(HorizonError, match=r"widget cannot be copied or pickled.*widget\.map"):
        copied(widget)


@COPIES
def test_a_map_can_be_copied_and_sent(model, copied):
    hmap = hw.attribute(model, PROMPT, layers=1, metric=("contrast", "a", "b"), progress=False)
    arrived = copied(hmap)
    assert arrived.query == hmap.query
    assert arrived.tokens == hmap.tokens
    assert arrived.baseline == hmap.baseline
    assert arrived.dataset.identical(hmap.dataset)
    np.testing.assert_array_equal(arrived.done, hmap.done)
    assert repr(arrived) == repr(hmap)
    np.testing.assert_array_equal(hw.attribute(model, arrived, progress=False).query.token_ids, hmap.query.token_ids)


def test_a_deep_copy_of_a_map_is_independent(model):
    hmap = hw.attribute(model, PROMPT, layers=1, progress=False)
    copied = copy.deepcopy(hmap)
    copied.dataset["influence"].values[:] = 7.0
    assert hmap.cell(1, 0, 1) != 7.0


@COPIES
@pytest.mark.parametrize(
    "value",
    [
        Metric("logprob", (5,), label="logprob of 'x'"),
        Baseline("mean", ((1, 2, 3),), ("mean", "zero"), (False, True)),
        hw.Verification(1.0, 1.5, -0.5, 2),
        HostError("lost", "It was lost."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_can_be_copied_and_sent(value, copied):
    arrived = copied(value)
    assert type(arrived) is type(value)
    assert vars(arrived) == vars(value)
