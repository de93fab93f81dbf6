"""What Runner does around an engine, which is pretended here: what it remembers of calls, whose memory it uses, and
what it says to bad input. Real engines run in test_runner_gpu.py."""

import threading

import numpy as np
import pytest
from pretend_gpu import PretendedCuda, PretendedEngine, PretendedGraph, on_gpu, values

from helpers.engine import EngineError
from helpers.logger import get_logger
from helpers.runner import Runner
from helpers.trt import trt

X = np.arange(8, dtype=np.float32).reshape(2, 4)
SHIFT = np.full((2, 4), 100, np.float32)


@pytest.fixture(params=["graphs", "no graphs"])
def make(request, monkeypatch):
    monkeypatch.setattr("helpers.runner.load_engine", lambda engine, trusted: engine)
    monkeypatch.setattr("helpers.runner.capture", PretendedGraph)
    monkeypatch.setattr("helpers.runner.has", lambda capability: request.param == "graphs")
    return lambda engine: Runner(engine, backend=PretendedCuda())


@pytest.fixture
def run(make):
    with make(PretendedEngine()) as runner:
        yield runner


def is_right(result, x=X, shift=SHIFT):
    return (
        set(result) == {"double", "plus"} and (result["double"] == 2 * x).all() and (result["plus"] == x + shift).all()
    )


def test_the_pretended_engine_computes(run):
    for round in range(4):
        assert is_right(run(x=X + round, shift=SHIFT), X + round)
        assert is_right(run({"x": X[:1], "shift": SHIFT[:1]}), X[:1], SHIFT[:1])
    assert bool(run._graphs) == any(call.graph is not None for call in run._calls.values())


@pytest.mark.parametrize("times", [1, 3])
def test_an_output_in_memory_of_the_caller_is_not_written_by_the_next_call(run, times):
    mine = on_gpu(np.zeros_like(X))
    for _ in range(times):
        run(x=X, shift=SHIFT, out={"double": mine})
    assert (values(mine) == 2 * X).all()
    assert is_right(run(x=X + 1, shift=SHIFT), X + 1)
    assert is_right(run(x=X + 2, shift=SHIFT, views=True), X + 2)
    assert is_right(run.submit(x=X + 3, shift=SHIFT).result(), X + 3)
    assert (values(mine) == 2 * X).all()


def test_an_input_in_memory_of_the_caller_is_not_read_by_the_next_call(run):
    there = on_gpu(X)
    for _ in range(3):
        assert is_right(run(x=there, shift=SHIFT))
    assert is_right(run(x=X + 1, shift=SHIFT), X + 1)
    assert is_right(run(x=there, shift=SHIFT))
    with pytest.raises(KeyError, match="input 'x' is missing"):
        run(shift=SHIFT)
    assert is_right(run(x=on_gpu(X + 2), shift=on_gpu(SHIFT)), X + 2)


def test_out_of_numpy_and_on_the_gpu_in_turns(run):
    mine, here = on_gpu(np.zeros_like(X)), np.zeros_like(X)
    for round in range(4):
        x = X + round
        assert run(x=x, shift=SHIFT, out={"plus": mine})["plus"] is mine
        assert (values(mine) == x + SHIFT).all()
        assert run(x=x, shift=SHIFT, out={"plus": here})["plus"] is here
        assert (here == x + SHIFT).all()


def test_memory_of_the_caller_that_comes_again_is_not_looked_at_again(run, monkeypatch):
    there, mine = on_gpu(X), on_gpu(np.zeros_like(X))
    for _ in range(2):
        run(x=there, shift=SHIFT, out={"double": mine})
    monkeypatch.setattr(run, "_prepare", None)
    values(there)[:] += 1
    result = run(x=there, shift=SHIFT, out={"double": mine})
    assert (values(mine) == 2 * (X + 1)).all()
    assert (result["plus"] == X + 1 + SHIFT).all()
    here = np.zeros_like(X)
    assert run(x=there, shift=SHIFT, out={"double": mine, "plus": here})["plus"] is here
    assert (here == X + 1 + SHIFT).all()
    with pytest.raises(TypeError):  # what is set to None above: everything else is checked thoroughly
        run(x=on_gpu(X), shift=SHIFT, out={"double": mine})


class Moving:
    """Memory that its owner exchanges behind the same object, as PyCUDA's GPUArray lets its users do."""

    def __init__(self, array):
        self.array = on_gpu(array)

    @property
    def __cuda_array_interface__(self):
        return self.array.__cuda_array_interface__


def test_memory_that_moves_or_changes_is_followed(run):
    there = Moving(X)
    for round in range(6):
        if round % 2 == 0:
            there.array = on_gpu(X + round)
        assert is_right(run(x=there, shift=SHIFT), X + round // 2 * 2)
    there.array = on_gpu(X[:1])
    assert is_right(run(x=there, shift=SHIFT[:1]), X[:1], SHIFT[:1])
    there.array = on_gpu(X[:1].astype(np.float64))
    with pytest.raises(TypeError, match="float64"):
        run(x=there, shift=SHIFT[:1])
    there.array = None
    with pytest.raises(TypeError, match="input 'x' is a Moving"):
        run(x=there, shift=SHIFT[:1])


@pytest.mark.parametrize("wrong", [{"doubel": 0}, {"double": 0, "x": 1}, {"plus": 0}])
def test_another_output_than_before_is_checked(run, wrong):
    mine = on_gpu(np.zeros_like(X))
    for _ in range(3):
        run(x=X, shift=SHIFT, out={"double": mine})
    if set(wrong) <= {"double", "plus"}:
        other = on_gpu(np.zeros_like(X))
        assert (run(x=X + 1, shift=SHIFT, out={"plus": other})["double"] == 2 * (X + 1)).all()
        assert (values(other) == X + 1 + SHIFT).all()
    else:
        with pytest.raises(KeyError, match="the engine has no output"):
            run(x=X, shift=SHIFT, out=dict.fromkeys(wrong, mine))
    assert (values(mine) == 2 * X).all()


@pytest.mark.parametrize("after_a_call", [False, True])
@pytest.mark.parametrize("wrong", [X, [1, 2], 3])
def test_an_array_without_a_name_is_refused(run, wrong, after_a_call):
    if after_a_call:
        run(x=X, shift=SHIFT)
    for call in (run, run.submit, lambda batch: next(run.map([batch]))):
        with pytest.raises(TypeError, match="2 inputs: give a mapping from name to array"):
            call(wrong)
    assert is_right(run({"x": X}, shift=SHIFT)), "a mapping and keywords add up"


def test_the_only_input_needs_no_name(make):
    with make(PretendedEngine(inputs=["x"])) as run:
        for round in range(3):
            assert is_right(run(X + round), X + round, 0)
            assert is_right(run.submit(X + round).result(), X + round, 0)
        assert all(is_right(result, X, 0) for result in run.map([X] * 3))
        with pytest.raises(TypeError, match="input 'x' is a list"):
            run([1, 2])


def test_map_from_another_thread_leaves_the_runner_whole(run):
    batches, said = [{"x": X + i, "shift": SHIFT} for i in range(5)], []

    def elsewhere():
        try:
            list(run.map(batches))
        except RuntimeError as error:
            said.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "belongs to the thread that made it" in said[0]
    for i, result in enumerate(run.map(batches, streams=3)):
        assert is_right(result, X + i)


def test_map_refuses_at_once(run):
    with pytest.raises(ValueError, match="streams=0"):
        run.map([], streams=0)
    run.close()
    with pytest.raises(RuntimeError, match="closed"):
        run.map([])


def test_a_run_that_fails_tells_its_own_errors(run):
    get_logger().log(trt.ILogger.Severity.ERROR, "an error of another engine")
    run._context.works = False
    with pytest.raises(EngineError, match="execute_async_v3 failed") as caught:
        run(x=X, shift=SHIFT)
    assert caught.value.messages == []
