"""What Runner does around an engine, which is pretended here: what it remembers of calls, whose memory it uses, and
what it says to bad input. Real engines run in test_runner_gpu.py."""

import gc
import logging
import threading
from types import SimpleNamespace

import numpy as np
import pretend_gpu
import pytest
from pretend_gpu import DEFAULT, PretendedCuda, PretendedEngine, PretendedGraph, Stream, cuda, on_gpu, values

from helpers.buffers import CaptureError, capture
from helpers.engine import EngineError
from helpers.logger import get_logger
from helpers.runner import Call, Runner, _decides
from helpers.tensors import DeviceArray, TensorSpec
from helpers.trt import MissingCapability, has, trt

X = np.arange(8, dtype=np.float32).reshape(2, 4)
SHIFT = np.full((2, 4), 100, np.float32)


# A GPU may do what it was asked for at once, or only when somebody waits for it. Without graphs its streams are like
# PyTorch's, which do not wait for what the caller has enqueued.
@pytest.fixture(params=["graphs", "graphs, eager", "no graphs", "no graphs, eager"])
def make(request, monkeypatch):
    graphs = request.param.startswith("graphs")
    monkeypatch.setattr("helpers.runner.load_engine", lambda engine, trusted: engine)
    monkeypatch.setattr("helpers.runner.capture", PretendedGraph)
    monkeypatch.setattr("helpers.runner.has", lambda capability: graphs)
    monkeypatch.setattr(Stream, "eager", request.param.endswith("eager"))
    yield lambda engine, **options: Runner(engine, backend=PretendedCuda(follows=graphs), **options)
    assert not getattr(pretend_gpu._current, "depth", 0), "each context that was pushed is popped again"


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


def elsewhere(work, *arguments, **named):
    """What the call returned or raised in another thread."""
    said = []

    def run():
        try:
            said.append(work(*arguments, **named))
        except BaseException as error:
            said.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return said[0]


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
    batches = [{"x": X + i, "shift": SHIFT} for i in range(5)]
    assert "belongs to the thread that made it" in str(elsewhere(lambda: list(run.map(batches))))
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


# What comes again is recognized by a quick look, which must miss nothing that the thorough one refuses.

WRONG_INPUTS = {
    "another dtype": X.astype(np.float64),
    "another order of bytes": X.astype(">f4"),
    "a list": X.tolist(),
    "one dimension": X.reshape(-1),
    "too large": np.zeros((9, 4), np.float32),
    "every second column": np.zeros((2, 8), np.float32)[:, ::2],
    "columns first": np.asfortranarray(X),
    "a masked array": np.ma.masked_array(X),
    "nothing": None,
}
WRONG_OUTPUTS = {
    **WRONG_INPUTS,
    "another shape": np.zeros((1, 4), np.float32),
    "read-only": np.zeros((2, 4), np.float32),
}
WRONG_OUTPUTS["read-only"].flags.writeable = False


@pytest.mark.parametrize("times", [0, 1, 3])
@pytest.mark.parametrize("wrong", WRONG_INPUTS)
def test_every_wrong_input_is_refused_and_the_runner_goes_on(run, wrong, times):
    for _ in range(times):
        run(x=X, shift=SHIFT)
    for name in ("x", "shift"):
        with pytest.raises((TypeError, ValueError), match=f"input '{name}'"):
            run(**{"x": X, "shift": SHIFT, name: WRONG_INPUTS[wrong]})
    assert is_right(run(x=X, shift=SHIFT))


@pytest.mark.parametrize("times", [0, 1, 3])
@pytest.mark.parametrize("wrong", WRONG_OUTPUTS)
def test_every_wrong_out_is_refused_and_not_written(run, wrong, times):
    for _ in range(times):
        run(x=X, shift=SHIFT)
    bad, good = WRONG_OUTPUTS[wrong], np.full_like(X, 7)
    before = np.array(bad)
    for call in (run, run.submit):
        with pytest.raises((TypeError, ValueError), match=r"out\['plus'\]"):
            call(x=X, shift=SHIFT, out={"double": good, "plus": bad})
    assert (good == 7).all()
    np.testing.assert_array_equal(bad, before)
    assert is_right(run(x=X, shift=SHIFT))


@pytest.mark.parametrize("times", [0, 1, 3])
def test_every_wrong_name_is_refused(run, times):
    there = on_gpu(X)
    for x in (X, there):
        for _ in range(times):
            run(x=x, shift=SHIFT)
        with pytest.raises(KeyError, match="no input 'y'"):
            run(x=x, shift=SHIFT, y=X)
        with pytest.raises(KeyError, match="no input 'y'"):
            run(x=x, y=SHIFT)
        with pytest.raises(KeyError, match="input 'shift' is missing"):
            run(x=x)
        for name in ("y", "x", "shift"):
            with pytest.raises(KeyError, match=f"no output '{name}'"):
                run(x=x, shift=SHIFT, out={name: np.zeros_like(X)})


def test_out_is_written_and_returned_and_the_rest_is_new(run):
    for round in range(4):
        mine = np.zeros_like(X)
        result = run(x=X + round, shift=SHIFT, out={"plus": mine})
        assert is_right(result, X + round)
        assert result["plus"] is mine
        assert is_right(run(x=X, shift=SHIFT))
        assert is_right(result, X + round), "no result changes later"
        views = run(x=X + round, shift=SHIFT, views=True)
        assert is_right(views, X + round)
        run(x=X + 50, shift=SHIFT)
        assert is_right(views, X + 50), "but views do"


# Outputs that would overwrite each other.

ONE, BIG = np.zeros_like(X), np.zeros((3, 4), np.float32)
OVERLAPPING = {
    "one array": (ONE, ONE),
    "views of one array": (ONE[:], ONE.reshape(1, 8).reshape(2, 4)),
    "rows in common": (BIG[:2], BIG[1:]),
    "a row in common, the other way": (BIG[1:], BIG[:2]),
    "memory behind other objects": (np.frombuffer(memoryview(BIG), np.float32, 8).reshape(2, 4), BIG[1:]),
}


@pytest.mark.parametrize("times", [0, 1, 3])
@pytest.mark.parametrize("how", OVERLAPPING)
def test_arrays_in_out_that_overlap_are_refused(run, how, times):
    for _ in range(times):
        run(x=X, shift=SHIFT, out={"double": np.zeros_like(X), "plus": np.zeros_like(X)})
    double, plus = OVERLAPPING[how]
    for call in (run, run.submit):
        with pytest.raises(ValueError, match="'plus' and 'double' would overwrite each other"):
            call(x=X, shift=SHIFT, out={"double": double, "plus": plus})
        with pytest.raises(ValueError, match="'double' and 'plus' would overwrite each other"):
            call(x=X, shift=SHIFT, out={"plus": plus, "double": double})
    assert not double.any()
    assert not plus.any()


def test_arrays_in_out_that_only_lie_side_by_side_are_taken(run):
    both = np.zeros((4, 4), np.float32)
    for round in range(4):
        assert is_right(run(x=X + round, shift=SHIFT, out={"double": both[2:], "plus": both[:2]}), X + round)
        assert is_right(run(x=X + round, shift=SHIFT, out={"double": both[:2], "plus": both[2:]}), X + round)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_memory_of_the_runner_as_out_is_refused_where_a_result_would_be_lost(run, times):
    for _ in range(times):
        run(x=X, shift=SHIFT)
    view = run(x=X, shift=SHIFT, views=True)
    for out in (
        {"double": view["plus"]},
        {"double": view["plus"], "plus": view["double"]},
        {"plus": view["double"], "double": np.zeros_like(X)},
    ):
        for views in (False, True):
            with pytest.raises(ValueError, match="would overwrite each other.*views=True"):
                run(x=X, shift=SHIFT, out=out, views=views)
    assert is_right(view), "refused before anything was done"
    # Here nothing is lost, and so nothing is refused.
    assert is_right(run(x=X + 1, shift=SHIFT, out={"double": view["double"]}), X + 1)
    for _ in range(3):
        view = run(x=X, shift=SHIFT, views=True)
        assert is_right(run(x=view["double"], shift=view["plus"]), 2 * X, X + SHIFT)


def test_an_empty_array_overlaps_nothing(make):
    with make(PretendedEngine(least=0)) as run:
        inside = np.zeros((2, 4), np.float32)[1:1]
        for _ in range(4):
            nothing = X[:0]
            result = run(x=nothing, shift=nothing, out={"double": inside, "plus": inside})
            assert result["plus"].shape == result["double"].shape == (0, 4)
            there = DeviceArray(0, (0, 4), X.dtype)
            assert run(x=there, shift=there, out={"plus": there})["double"].shape == (0, 4)
            assert is_right(run(x=X, shift=SHIFT))


def test_an_empty_output_may_lie_within_another():
    room = np.zeros((4, 4), np.float32)
    fetched = {"none": np.zeros((0, 4), np.float32), "some": np.zeros((2, 4), np.float32)}
    call, inside = Call({}, {}, staged={}, fetched=fetched), room[1:][:0]
    for out in ({"none": inside, "some": room[:2]}, {"some": room[:2], "none": inside}):
        assert call.takes({}, out)
    assert call.lost({"some": room[:2], "none": room[1:2]}) == ("none", "some")


def at(array, offset=0, shape=None):
    """An array in device memory that begins ``offset`` bytes behind the beginning of another."""
    return DeviceArray(array.pointer + offset, shape or array.shape, array.dtype, array)


@pytest.mark.parametrize("offset", [-16, 0, 16])
def test_outputs_in_gpu_memory_that_overlap_are_refused(run, offset):
    room = on_gpu(np.zeros((6, 4), np.float32))
    one, other = at(room, 32, (2, 4)), at(room, 32 + offset, (2, 4))
    run(x=X, shift=SHIFT, out={"double": one})
    run(x=X, shift=SHIFT, out={"plus": other})
    before = values(room).copy()
    for call in (run, run.submit):
        with pytest.raises(ValueError, match="'(double|plus)' and '(double|plus)' would overwrite each other"):
            call(x=X + 1, shift=SHIFT, out={"double": one, "plus": other})
        with pytest.raises(ValueError, match=r"out\['plus'\] overlaps input 'x' in device memory"):
            call(x=one, shift=SHIFT, out={"plus": other})
        with pytest.raises(ValueError, match=r"out\['double'\] overlaps input 'shift' in device memory"):
            call(x=at(room, 64, (2, 4)), shift=other, out={"double": one})
    np.testing.assert_array_equal(values(room), before)
    for apart in (0, 64):
        for _ in range(3):
            run(x=X, shift=SHIFT, out={"double": one, "plus": at(room, apart, (2, 4))})
            assert (values(one) == 2 * X).all()
            assert (values(at(room, apart, (2, 4))) == X + SHIFT).all()


def test_inputs_in_gpu_memory_may_overlap(run):
    there = on_gpu(X)
    for _ in range(3):
        assert is_right(run(x=there, shift=there), X, X)


def test_page_locked_memory_that_the_gpu_writes_itself(run):
    """A GPU reaches page-locked memory at the same address, so a NumPy array and a GPU array may be one memory."""
    here = run._cuda.pinned((2, 4), X.dtype)
    there = DeviceArray(here.ctypes.data, here.shape, here.dtype, here)
    other = np.zeros_like(X)
    for _ in range(3):
        result = run(x=X, shift=SHIFT, out={"double": there, "plus": other})
        assert (here == 2 * X).all()
        assert (other == X + SHIFT).all()
        assert result["double"] is there
        for out in ({"double": there, "plus": here}, {"plus": here, "double": there}):
            with pytest.raises(ValueError, match="'plus' and 'double' would overwrite each other"):
                run(x=X, shift=SHIFT, out=out)
    view = run(x=X, shift=SHIFT, views=True)["plus"]
    there = DeviceArray(view.ctypes.data, view.shape, view.dtype, view)
    with pytest.raises(ValueError, match="'double' and 'plus' would overwrite each other"):
        run(x=X, shift=SHIFT, out={"double": there})
    for _ in range(3):
        x = view.copy()
        assert is_right(run(x=there, shift=SHIFT), x)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_numpy_arrays_may_be_input_and_out_at_once(run, times):
    """Inputs are copied before a run and outputs after it: nothing can go wrong, also not while a run is under way."""
    for _ in range(times):
        run(x=X, shift=SHIFT)
    x, shift = X.copy(), SHIFT.copy()
    run(x=x, shift=shift, out={"double": shift, "plus": x})
    assert (shift == 2 * X).all()
    assert (x == X + SHIFT).all()
    x = X.copy()
    first = run.submit(x=x, shift=SHIFT, out={"double": x})
    second = run.submit(x=x, shift=SHIFT)
    assert is_right(second.result(), 2 * X)
    assert is_right(first.result())


# Work that is under way.


def test_nothing_is_there_before_somebody_waits(run):
    mine = np.zeros_like(X)
    for round in range(4):
        x, shift = X + round, SHIFT.copy()
        pending = run.submit(x=x, shift=shift, out={"double": mine})
        x[:], shift[:] = -1, -1  # they have been copied
        assert is_right(pending.result(), X + round)
        assert pending.result() is pending.result()


def test_each_call_first_completes_the_one_under_way(run):
    pending = []
    for round in range(5):
        pending.append(run.submit(x=X + round, shift=SHIFT))
    assert is_right(run(x=X + 5, shift=SHIFT), X + 5)
    for round, each in enumerate(pending):
        assert is_right(each.result(), X + round)
    last = run.submit(x=X + 6, shift=SHIFT)
    run.close()
    assert is_right(last.result(), X + 6)


def test_gpu_memory_lives_until_its_run_is_done(run):
    for _ in range(3):
        pending = run.submit(x=on_gpu(X), shift=on_gpu(SHIFT), out={"plus": on_gpu(np.zeros_like(X))})
        result = pending.result()
        assert (values(result["plus"]) == X + SHIFT).all()
        assert (result["double"] == 2 * X).all()
        assert pending._inputs is None, "and no longer"


def test_a_run_waits_for_what_the_caller_has_enqueued(run):
    there, mine = on_gpu(np.zeros_like(X)), on_gpu(np.zeros_like(X))
    for round in range(6):
        x = X + round
        cuda.memcpy_htod_async(there.pointer, x)
        call = run.submit if round % 2 else run
        result = call(x=there, shift=SHIFT, out={"plus": mine})
        result = result.result() if round % 2 else result
        assert (result["double"] == 2 * x).all()
        assert (values(mine) == x + SHIFT).all()


def test_a_new_runner_waits_for_who_had_its_memory_before(make):
    work = []
    DEFAULT.enqueue(lambda: work.append("done"))
    with make(PretendedEngine()) as run:
        run(x=X, shift=SHIFT)
        assert work == ["done"]


def test_a_run_that_fails_on_the_gpu_says_so_and_the_next_one_works(run):
    there = on_gpu(X)
    for _ in range(3):
        assert is_right(run(x=there, shift=SHIFT))
        there.owner.free()
        pending = run.submit(x=there, shift=SHIFT)
        assert is_right(run(x=X, shift=SHIFT)), "its error is not the next one's"
        for _ in range(2):
            with pytest.raises(RuntimeError, match="illegal memory access"):
                pending.result()
        with pytest.raises(RuntimeError, match="illegal memory access"):
            run(x=there, shift=SHIFT)
        there = on_gpu(X)


def test_an_array_in_out_that_was_made_read_only_meanwhile_stops_nobody_else(run):
    mine = np.zeros_like(X)
    pending = run.submit(x=X, shift=SHIFT, out={"double": mine})
    mine.flags.writeable = False
    assert is_right(run(x=X + 1, shift=SHIFT), X + 1)
    with pytest.raises(ValueError, match="read-only"):
        pending.result()


def test_a_wait_that_was_interrupted_can_be_taken_up_again(run, monkeypatch):
    pending = run.submit(x=X, shift=SHIFT)

    def interrupted(stream):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run._cuda, "synchronize", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pending.result()
    assert is_right(run(x=X + 1, shift=SHIFT), X + 1)
    assert is_right(pending.result())


def test_map_computes_side_by_side_and_in_order(run):
    batches = [{"x": X[: 1 + i % 2] + i, "shift": SHIFT[: 1 + i % 2]} for i in range(7)]
    for streams in (1, 2, 3):
        for batch, result in zip(batches, run.map(batches, streams=streams), strict=True):
            assert is_right(result, batch["x"], batch["shift"])
        assert len(run._lanes) == streams - 1
    lanes = list(run._lanes)
    run.close()
    assert all(lane._closed for lane in lanes)


# Graphs.


def test_what_is_remembered_is_bounded_and_the_oldest_goes(make):
    with make(PretendedEngine(), graphs=2) as run:
        for _ in range(2):
            for size in (1, 2, 3):
                x = np.ones((size, 4), np.float32)
                for _ in range(3):
                    assert is_right(run(x=x, shift=x), x, x)
                assert len(run._calls) <= (2 if run._graphs else 1)
                assert run._last in run._calls.values()
            assert run._calls[("x", (3, 4)), ("shift", (3, 4))] is run._last


def test_what_comes_again_is_not_the_oldest(make):
    with make(PretendedEngine(), graphs=2) as run:
        first, second, third = on_gpu(X), on_gpu(X + 1), on_gpu(X + 2)
        for there in (first, second, first, third):
            run(x=there, shift=SHIFT)
        remembered = [call.addresses["x"] for call in run._calls.values()]
        assert remembered == ([first.pointer, third.pointer] if run._graphs else [third.pointer])


def test_the_second_time_is_captured_and_then_launched(make):
    with make(PretendedEngine()) as run:
        if not run._graphs:
            pytest.skip("without graphs")
        run(x=X, shift=SHIFT)
        (call,) = run._calls.values()
        assert (call.seen, call.graph) == (1, None)
        run(x=X, shift=SHIFT)
        assert call.seen == 2
        run._context = None  # from here on only the graph is needed
        assert is_right(run(x=X + 1, shift=SHIFT), X + 1)
        assert is_right(run.submit(x=X + 2, shift=SHIFT).result(), X + 2)


def test_graphs_can_be_switched_off(make):
    with make(PretendedEngine(), graphs=0) as run:
        for round in range(4):
            assert is_right(run(x=X + round, shift=SHIFT), X + round)
        assert [call.graph for call in run._calls.values()] == [None]


@pytest.mark.parametrize(
    ("dtype", "shape", "decides"),
    [
        *[("bool", (), True), ("int64", (), True), ("int32", (1,), True), ("uint8", (1, 1), True)],
        *[("float32", (), False), ("int64", (1, 2), False), ("uint8", (8, 8, 3), False)],
    ],
)
def test_one_truth_value_or_whole_number_may_decide_what_is_computed(dtype, shape, decides):
    assert _decides(TensorSpec("flag", True, np.dtype(dtype), shape, shape, shape)) == decides
    assert not _decides(TensorSpec("flag", False, np.dtype(dtype), shape, shape, shape)), "an output"


def test_a_call_whose_input_may_decide_what_is_computed_is_never_captured(make, monkeypatch):
    monkeypatch.setattr("helpers.runner._decides", lambda spec: spec.name == "shift")
    with make(PretendedEngine()) as run:
        for round in range(4):
            assert is_right(run(x=X + round, shift=SHIFT), X + round)
        assert run._graphs == 0
        assert [call.graph for call in run._calls.values()] == [None]


@pytest.mark.parametrize("error", [CaptureError("a loop"), EngineError("a loop", [])])
def test_an_engine_that_cannot_be_captured_runs_all_the_same(run, monkeypatch, error):
    asked = []

    def refuse(handle, enqueue):
        asked.append(handle)
        raise error

    monkeypatch.setattr("helpers.runner.capture", refuse)
    graphs = bool(run._graphs)
    for round in range(5):
        assert is_right(run(x=X + round, shift=SHIFT), X + round)
    assert asked == [run._handle] * graphs, "asked for once"


def test_a_capture_that_fails_leaves_no_error_in_the_log(run, monkeypatch, caplog):
    """As an engine whose kernels cannot be captured says it: in TensorRT's log, while the stream is capturing."""
    execute = pretend_gpu.PretendedContext.execute_async_v3

    def refuse_capture(self, handle):
        if pretend_gpu.STREAMS[handle].capturing:
            return pretend_gpu._refuse("operation not permitted when stream is capturing")
        return execute(self, handle)

    monkeypatch.setattr(pretend_gpu.PretendedContext, "execute_async_v3", refuse_capture)
    caplog.set_level(logging.INFO)
    graphs = bool(run._graphs)
    for round in range(5):
        assert is_right(run(x=X + round, shift=SHIFT), X + round)
    assert [(r.levelname, r.message.rpartition(": ")[2]) for r in caplog.records] == [
        ("INFO", "operation not permitted when stream is capturing")
    ] * graphs


def test_without_a_gpu_it_says_so_before_it_names_what_is_not_installed(monkeypatch):
    def refuse(*names):
        raise MissingCapability(f"this machine lacks {', '.join(names)}")

    monkeypatch.setattr("helpers.runner.require", refuse)
    monkeypatch.setattr("helpers.runner.cuda", None)
    for plan in ("lost.plan", b"plan", None):
        with pytest.raises(MissingCapability, match="this machine lacks gpu"):
            Runner(plan)


def test_a_graph_that_needs_its_context_gets_it(run, monkeypatch):
    for _ in range(2):
        run(x=X, shift=SHIFT)
    if run._last.graph is None:
        pytest.skip("without graphs")
    graph, entered = run._last.graph, []

    def in_context():
        entered.append(run._cuda._entered.depth)
        if not entered[-1]:
            raise RuntimeError("CUDA: invalid device context")
        graph.run()

    run._last.graph = SimpleNamespace(run=in_context)
    assert is_right(run(x=X + 1, shift=SHIFT), X + 1)
    assert entered == [0, 1]


# Making and closing.


def test_two_runners_share_an_engine(make, monkeypatch):
    engine = PretendedEngine()
    with make(engine) as one, make(engine) as two:
        for round in range(4):
            first, second = (run.submit(x=X + round + i, shift=SHIFT) for i, run in enumerate((one, two)))
            assert is_right(second.result(), X + round + 1)
            assert is_right(first.result(), X + round)


def test_a_profile_that_is_not_there(make):
    for profile in (-1, 1):
        with pytest.raises(ValueError, match=f"there is no profile {profile}; the engine has 1"):
            make(PretendedEngine(), profile=profile)


def test_what_tensorrt_refuses_is_an_engine_error_with_the_log(make, run):
    engine = PretendedEngine()
    engine.create_execution_context = lambda: None
    with pytest.raises(EngineError, match="no execution context"):
        make(engine)
    engine = PretendedEngine()
    engine.num_optimization_profiles = 2
    with pytest.raises(EngineError, match="profile 1 could not be chosen(?s:.*)there is no profile 1"):
        make(engine, profile=1)
    with pytest.raises(EngineError, match="execute_async_v3 failed(?s:.*)do not fit each other"):
        run(x=X, shift=SHIFT[:1])
    assert is_right(run(x=X, shift=SHIFT))


def test_too_little_gpu_memory_is_a_memory_error(make, monkeypatch):
    monkeypatch.setattr(pretend_gpu, "TOTAL", sum(array.nbytes for array in pretend_gpu.MEMORY.values()) + 200)
    with pytest.raises(MemoryError, match="no 128 bytes left"):
        make(PretendedEngine())


@pytest.mark.parametrize("close", [True, False])
def test_all_memory_is_given_back(make, close):
    gc.collect()
    before = set(pretend_gpu.MEMORY), len(pretend_gpu.PINNED)
    run = make(PretendedEngine())
    for _ in range(3):
        run(x=X, shift=SHIFT)
        list(run.map([{"x": X, "shift": SHIFT}] * 3))
    assert len(pretend_gpu.MEMORY) == len(before[0]) + 8
    if close:
        run.close()
        assert run.engine is run.stream is None
    else:
        run = None
    gc.collect()
    assert (set(pretend_gpu.MEMORY), len(pretend_gpu.PINNED)) == before


def test_views_outlive_the_runner(run):
    view = run(x=X, shift=SHIFT, views=True)
    run.close()
    gc.collect()
    assert is_right(view)


def test_a_closed_runner_says_so(run):
    run(x=X, shift=SHIFT)
    run.close()
    run.close()
    for call in (run, run.submit):
        with pytest.raises(RuntimeError, match="closed"):
            call(x=X, shift=SHIFT)
    assert elsewhere(run.close) is None, "nor is there anything left that another thread could disturb"


def test_another_thread_may_do_nothing_with_it(run):
    pending = run.submit(x=X, shift=SHIFT)
    for work in (run, run.submit):
        assert "belongs to the thread that made it" in str(elsewhere(work, x=X, shift=SHIFT))
    assert "belongs to the thread that submitted it" in str(elsewhere(pending.result))
    for work in (run.close, run.__exit__):
        error = elsewhere(work)
        assert isinstance(error, RuntimeError)
        assert "close it there" in str(error)
    assert is_right(pending.result())
    assert is_right(run(x=X, shift=SHIFT))
    run(x=X, shift=SHIFT)
    assert isinstance(elsewhere(run, x=X, shift=SHIFT), RuntimeError), "also where a quick look would do"
    assert is_right(elsewhere(pending.result)), "a result that is there is anybody's"


def test_who_is_left_can_close_it_when_its_thread_has_ended(make):
    run = elsewhere(make, PretendedEngine())
    assert isinstance(run, Runner)
    gc.collect()
    before = len(pretend_gpu.MEMORY)
    run.close()
    assert len(pretend_gpu.MEMORY) == before - 4

    def work():
        run = make(PretendedEngine())
        list(run.map([{"x": X, "shift": SHIFT}] * 2))
        return run, run.submit(x=X, shift=SHIFT)

    run, pending = elsewhere(work)
    run.close()
    assert is_right(pending.result())


def test_the_last_reference_may_go_in_another_thread(make, monkeypatch):
    unraisable = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)
    gc.collect()
    before = set(pretend_gpu.MEMORY)
    held = [make(PretendedEngine())]
    held[0](x=X, shift=SHIFT)
    elsewhere(held.clear)
    elsewhere(gc.collect)
    assert set(pretend_gpu.MEMORY) == before
    assert unraisable == []


# The pretended GPU itself, used as a reader of chapter 07 would.


@pytest.fixture(params=[False, True], ids=["late", "eager"])
def eager(request, monkeypatch):
    monkeypatch.setattr(Stream, "eager", request.param)
    return request.param


def prepared():
    """A context with shapes and addresses, its buffers, and a stream."""
    context, stream = PretendedEngine(["x"]).create_execution_context(), cuda.Stream()
    here = {name: cuda.pagelocked_empty((2, 4), np.float32) for name in ("x", "double", "plus")}
    there = {name: cuda.mem_alloc(array.nbytes) for name, array in here.items()}
    assert context.set_input_shape("x", (2, 4))
    for name, memory in there.items():
        assert context.set_tensor_address(name, int(memory))
    here["x"][:] = X
    return context, stream, here, there


def test_copy_run_copy_wait(eager):
    context, stream, here, there = prepared()
    assert context.get_tensor_shape("double") == (2, 4)
    cuda.memcpy_htod_async(there["x"], here["x"], stream)
    assert context.execute_async_v3(stream.handle)
    cuda.memcpy_dtoh_async(here["double"], there["double"], stream)
    assert stream.is_done() == eager
    assert np.isnan(here["double"]).all() != eager, "nothing has arrived yet"
    stream.synchronize()
    assert stream.is_done()
    assert (here["double"] == 2 * X).all()


def test_another_order_gives_something_else(eager):
    context, stream, here, there = prepared()
    context.execute_async_v3(stream.handle)
    cuda.memcpy_htod_async(there["x"], here["x"], stream)
    cuda.memcpy_dtoh_async(here["double"], there["double"], stream)
    stream.synchronize()
    assert np.isnan(here["double"]).all(), "run before its input was there"


def test_two_streams_do_not_wait_for_each_other_but_the_default_one_waits_for_all(monkeypatch):
    monkeypatch.setattr(Stream, "eager", False)
    context, stream, here, there = prepared()
    cuda.memcpy_htod_async(there["x"], here["x"], cuda.Stream())  # a stream that nobody holds: it never comes to it
    context.execute_async_v3(stream.handle)
    stream.synchronize()
    cuda.memcpy_dtoh(here["double"], there["double"])
    assert np.isnan(here["double"]).all()
    cuda.memcpy_htod(there["x"], here["x"])
    context.execute_async_v3(stream.handle)
    cuda.memcpy_dtoh(here["double"], there["double"])
    assert (here["double"] == 2 * X).all()
    cuda.memcpy_htod_async(there["x"], here["x"] + 1, stream)
    cuda.Context.synchronize()
    assert stream.is_done()


def logged(context, stream):
    with get_logger().capture() as messages:
        assert not context.execute_async_v3(stream.handle)
    return messages[0].text


def test_what_was_forgotten_is_in_the_log(eager):
    engine, stream = PretendedEngine(["x"]), cuda.Stream()
    context = engine.create_execution_context()
    assert context.get_tensor_shape("x") == context.get_tensor_shape("plus") == (-1, 4)
    assert "not all shapes" in logged(context, stream)
    with get_logger().capture() as messages:
        assert not context.set_input_shape("x", (9, 4))
        assert not context.set_input_shape("x", (2, 4, 1))
        assert not context.set_input_shape("images", (2, 4))
        assert not context.set_tensor_address("images", 4096)
    assert len(messages) == 4
    assert context.set_input_shape("x", (8, 4))
    assert "no address: x, double, plus" in logged(context, stream)
    with pytest.raises(TypeError):
        context.set_tensor_address("x", cuda.mem_alloc(128))
    second = engine.create_execution_context()
    assert "no optimization profile" in logged(second, stream)
    assert second.set_optimization_profile_async(0, stream.handle)
    assert "not all shapes" in logged(second, stream)


def test_memory_that_is_too_small_or_gone_is_an_error_for_who_waits(eager):
    for spoil in (
        lambda context, there: context.set_input_shape("x", (8, 4)),
        lambda context, there: there["x"].free(),
    ):
        context, stream, here, there = prepared()
        spoil(context, there)
        assert context.execute_async_v3(stream.handle)
        with pytest.raises(cuda.Error, match="illegal memory access"):
            stream.synchronize()
        stream.synchronize()
    with pytest.raises(cuda.Error):
        cuda.memcpy_htod_async(there["x"], here["x"], stream)
    with pytest.raises(cuda.Error):
        cuda.memcpy_dtoh_async(np.zeros((3, 4), np.float32), there["plus"], stream)
    with pytest.raises(ValueError, match="not contiguous"):
        cuda.memcpy_dtoh_async(np.zeros((4, 2), np.float32).T, there["plus"], stream)
    with pytest.raises(cuda.MemoryError):
        cuda.mem_alloc(1 << 40)


# What small faults in the code were not noticed by the tests above


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "float32 in the other byte order"])
def test_another_dtype_is_refused_after_the_right_one(run, dtype):
    for _ in range(3):
        run(x=X, shift=SHIFT)
    wrong = X.astype(X.dtype.newbyteorder() if "order" in dtype else dtype)
    with pytest.raises(TypeError, match="x"):
        run(x=wrong, shift=SHIFT)


def test_every_stream_of_map_has_work(run, monkeypatch):
    used = []
    start = Runner._start
    monkeypatch.setattr(Runner, "_start", lambda self, *arguments: used.append(self) or start(self, *arguments))
    assert len(list(run.map([{"x": X, "shift": SHIFT}] * 6, streams=3))) == 6
    assert len(set(map(id, used))) == 3


def test_the_context_is_told_a_shape_once(run, monkeypatch):
    told = []
    tell = type(run._context).set_input_shape
    monkeypatch.setattr(
        type(run._context), "set_input_shape", lambda self, name, shape: told.append(name) or tell(self, name, shape)
    )
    for _ in range(5):
        run(x=X, shift=SHIFT)
    assert sorted(told) == ["shift", "x"]


def test_an_output_that_is_a_single_number(make, monkeypatch):
    monkeypatch.setattr(pretend_gpu.PretendedContext, "get_tensor_shape", lambda self, name: ())
    monkeypatch.setattr(PretendedEngine, "get_tensor_shape", lambda self, name: (-1, 4) if name == "x" else ())
    with make(PretendedEngine(inputs=["x"])) as runner:
        assert runner._shapes["double"] == ()


@pytest.mark.parametrize("other", [-1, 1])
def test_the_thread_is_told_by_its_number(run, other):
    """Another thread's number may be smaller or larger than this one's."""
    mine, run._thread = run._thread, run._thread + other
    with pytest.raises(RuntimeError, match="belongs to the thread"):
        run(x=X, shift=SHIFT)
    with pytest.raises(RuntimeError, match="thread"):
        run.close()
    run._thread = mine
    pending = run.submit(x=X, shift=SHIFT)
    run._thread = mine + other
    with pytest.raises(RuntimeError, match="belongs to the thread that submitted it"):
        pending.result()
    run._thread = mine
    assert is_right(pending.result())


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_another_dtype_of_out_is_refused_after_the_right_one(run, dtype):
    for _ in range(3):
        run(x=X, shift=SHIFT, out={"plus": np.zeros_like(X)})
    with pytest.raises(TypeError, match="plus"):
        run(x=X, shift=SHIFT, out={"plus": np.zeros_like(X, dtype)})


def test_a_plan_is_trusted_only_if_the_caller_says_so(make, monkeypatch):
    said = []
    monkeypatch.setattr("helpers.runner.load_engine", lambda engine, trusted: said.append(trusted) or engine)
    make(PretendedEngine()).close()
    make(PretendedEngine(), trusted=True).close()
    assert said == [False, True]


@pytest.mark.skipif(has("cuda_bindings"), reason="cuda.bindings are here")
def test_a_capture_needs_cuda_bindings():
    with pytest.raises(MissingCapability, match="cuda_bindings .*pip install cuda-bindings"):
        capture(0, lambda: None)
