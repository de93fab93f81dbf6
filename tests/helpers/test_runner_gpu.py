"""Engines that run, on a real GPU: results, shapes, memory, interoperation, and every bad input."""

import gc
import logging
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from helpers.buffers import cuda
from helpers.builder import build_plan
from helpers.lenet import lenet_network
from helpers.onnx_parser import parse_onnx
from helpers.trt import has

pytestmark = pytest.mark.skipif(not has("gpu", "build"), reason="needs a GPU that this TensorRT runs and builds on")
DATA = Path(__file__).resolve().parents[2] / "data"
PROFILE = {"image": ((1, 1, 28, 28), (64, 1, 28, 28), (256, 1, 28, 28))}
BACKENDS = [name for name in ("pycuda", "cuda_bindings") if has(name)]


@pytest.fixture(scope="module")
def plan():
    # Without TF32, so that results can be compared with float32 on a CPU.
    return build_plan(parse_onnx(DATA / "lenet.onnx"), profiles=[PROFILE], clear_flags=["TF32"])


@pytest.fixture(scope="module")
def reference(weights):
    import torch

    from helpers.lenet import torch_lenet

    model = torch_lenet().eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    def logits(images):
        with torch.no_grad():
            return model(torch.from_numpy(images)).numpy()

    return logits


@pytest.fixture(params=BACKENDS)
def run(request, plan):
    from helpers.runner import Runner

    with Runner(plan, backend=request.param) as runner:
        yield runner


def test_pycuda_is_the_default():
    assert cuda().name == ("pycuda" if has("pycuda") else "cuda_bindings")


def test_accuracy_is_pytorchs_to_the_digit(run, digits, reference):
    images, labels = digits
    logits = np.concatenate([run(image=images[i : i + 250])["logits"] for i in range(0, len(images), 250)])
    expected = reference(images)
    assert (logits.argmax(1) == labels).sum() == (expected.argmax(1) == labels).sum()
    np.testing.assert_allclose(logits, expected, atol=1e-3)


def test_many_batch_sizes_and_seeds(run, reference):
    for seed in range(40):
        random = np.random.default_rng(seed)
        images = random.random((int(random.integers(1, 257)), 1, 28, 28), np.float32)
        logits = run(image=images)["logits"]
        assert logits.shape == (len(images), 10)
        np.testing.assert_allclose(logits, reference(images), atol=1e-3, rtol=1e-3)


def test_the_network_api_gives_the_same_logits(run, weights, digits):
    from helpers.runner import Runner

    images = digits[0][:64]
    plan = build_plan(lenet_network(weights), profiles=[PROFILE], clear_flags=["TF32"])
    with Runner(plan, backend=run._cuda) as other:
        np.testing.assert_allclose(other(image=images)["logits"], run(image=images)["logits"], atol=1e-3)


def test_results_belong_to_the_caller(run, digits):
    first = run(image=digits[0][:8])["logits"]
    kept = first.copy()
    run(image=digits[0][8:16])
    np.testing.assert_array_equal(first, kept)


def test_views_and_out_are_opt_in(run, digits):
    expected = run(image=digits[0][:8])["logits"]
    view = run(image=digits[0][:8], views=True)["logits"]
    np.testing.assert_array_equal(view, expected)
    run(image=digits[0][8:16])
    assert not np.array_equal(view, expected)
    mine = np.empty((8, 10), np.float32)
    assert run({"image": digits[0][:8]}, out={"logits": mine})["logits"] is mine
    np.testing.assert_array_equal(mine, expected)


def test_submit_and_the_next_call_loses_nothing(run, digits):
    expected = [run(image=digits[0][i : i + 8])["logits"] for i in (0, 8, 16)]
    pending = [run.submit(image=digits[0][i : i + 8]) for i in (0, 8, 16)]
    for want, got in zip(expected, pending, strict=True):
        np.testing.assert_array_equal(got.result()["logits"], want)
        assert got.result() is got.result()


class TestGraphs:
    """Calls that come again are captured; results stay the same, and what is remembered stays bounded."""

    SIZES = (1, 7, 64, 256)

    @pytest.mark.skipif(not has("cuda_bindings"), reason="CUDA graphs need cuda-bindings")
    def test_a_call_that_comes_again_is_captured_and_gives_the_same(self, run, plan, digits):
        from helpers.runner import Runner

        with Runner(plan, backend=run._cuda, graphs=0) as plain:
            for turn in range(6):
                for size in self.SIZES:
                    images = np.ascontiguousarray(digits[0][turn * 7 : turn * 7 + size])
                    np.testing.assert_array_equal(run(image=images)["logits"], plain(image=images)["logits"])
            assert not any(call.graph for call in plain._calls.values())
        assert [call.graph is not None for call in run._calls.values()] == [True] * len(self.SIZES)

    def test_what_is_remembered_is_bounded(self, plan, digits, reference):
        from helpers.runner import Runner

        with Runner(plan, graphs=3) as runner:
            for _ in range(3):
                for size in range(1, 12):
                    for _ in range(3):
                        logits = runner(image=digits[0][:size])["logits"]
                    np.testing.assert_allclose(logits, reference(digits[0][:size]), atol=1e-3)
                    assert len(runner._calls) <= 3

    def test_bad_input_after_a_capture_is_refused(self, run, digits):
        good = digits[0][:8]
        expected = [run(image=good)["logits"] for _ in range(4)][-1]
        for bad in (good.astype(np.float64), digits[0][:16:2], good.tolist(), good[0], digits[0][:257]):
            with pytest.raises((TypeError, ValueError)):
                run(image=bad)
            np.testing.assert_array_equal(run(image=good)["logits"], expected)

    def test_graphs_come_and_go_without_using_up_memory(self, plan, digits):
        from helpers.runner import Runner

        with Runner(plan, graphs=4) as runner:

            def several(times):
                for _ in range(times):
                    for size in range(1, 9):
                        for _ in range(3):
                            runner(image=digits[0][:size])

            several(2)
            with runner._cuda:
                before = runner._cuda.memory()[0]
            several(100)
            with runner._cuda:
                assert runner._cuda.memory()[0] >= before - (2 << 20)

    @pytest.mark.skipif(not has("pycuda"), reason="needs PyCUDA")
    def test_memory_of_the_caller_that_moves(self, plan, digits):
        from pycuda import gpuarray

        from helpers.runner import Runner

        with Runner(plan, backend="pycuda") as runner:
            expected = [runner(image=digits[0][i : i + 8])["logits"] for i in (0, 8)]
            with runner._cuda:
                there = [gpuarray.to_gpu(np.ascontiguousarray(digits[0][i : i + 8])) for i in (0, 8)]
            for _ in range(4):
                for array, logits in zip(there, expected, strict=True):
                    np.testing.assert_array_equal(runner(image=array)["logits"], logits)
            with runner._cuda:
                for array in there:
                    array.gpudata.free()


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_map_gives_every_result_in_order(run, digits, streams):
    batches = [digits[0][i : i + 1 + i % 37] for i in range(0, 400, 11)]
    results = list(run.map(batches, streams=streams))
    assert len(results) == len(batches)
    for images, result in zip(batches, results, strict=True):
        np.testing.assert_array_equal(result["logits"], run(image=images)["logits"])
    assert list(run.map([])) == []
    assert len(list(run.map({"image": x} for x in batches[:5]))) == 5


def test_map_that_fails_or_is_left_midway_leaves_the_runner_whole(run, digits):
    with pytest.raises(TypeError, match="float64"):
        list(run.map([digits[0][:4], digits[0][:4].astype(np.float64)]))
    with pytest.raises(ValueError, match="streams=0"):
        list(run.map([digits[0][:4]], streams=0))
    first = next(run.map([digits[0][:4]] * 9))["logits"]
    np.testing.assert_array_equal(run(image=digits[0][:4])["logits"], first)


def test_ten_thousand_inferences_leave_the_memory_as_it_is(run, digits):
    images = digits[0]
    run(image=images[:256])
    with run._cuda:
        free_before = run._cuda.memory()[0]
    for i in range(10_000):
        run(image=images[i % 1000 : i % 1000 + 1 + i % 256])
    with run._cuda:
        # Not less than before: other processes on the GPU may have given some back meanwhile.
        assert run._cuda.memory()[0] >= free_before


def test_closing_gives_the_memory_back(plan, digits):
    from helpers.runner import Runner

    def free():
        gc.collect()
        with cuda():
            return cuda().memory()[0]

    Runner(plan).close()
    before = free()
    for _ in range(20):
        with Runner(plan) as runner:
            runner(image=digits[0][:4])
    assert free() >= before - (4 << 20)


def test_two_runners_in_one_process(plan, digits):
    from helpers.runner import Runner

    with Runner(plan, backend=BACKENDS[0]) as one, Runner(plan, backend=BACKENDS[-1]) as two:
        for i in range(20):
            images = digits[0][i : i + 5]
            np.testing.assert_array_equal(one(image=images)["logits"], two(image=images)["logits"])


def test_one_engine_several_threads(plan, digits):
    from helpers.runner import Runner

    results, images = {}, digits[0][:16]
    with Runner(plan) as first:
        expected = first(image=images)["logits"]

        def work(key):
            with Runner(first.engine) as mine:
                for _ in range(50):
                    results[key] = mine(image=images)["logits"]

        threads = [threading.Thread(target=work, args=(key,)) for key in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(results) == 4
    for logits in results.values():
        np.testing.assert_array_equal(logits, expected)


def test_another_thread_is_told_what_to_do(run, digits):
    caught = []

    def work():
        for attempt in (lambda: run(image=digits[0][:1]), run.close):
            try:
                attempt()
            except RuntimeError as error:
                caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert "Runner(first.engine)" in caught[0]
    assert "close it there" in caught[1]
    assert run(image=digits[0][:1])["logits"].shape == (1, 10)


@pytest.mark.skipif(not has("pycuda"), reason="needs PyCUDA")
def test_gpu_arrays_of_pycuda_without_copies(plan, digits):
    from pycuda import gpuarray

    from helpers.runner import Runner

    images = digits[0][:32]
    with Runner(plan, backend="pycuda") as runner:
        expected = runner(image=images)["logits"]
        with runner._cuda:
            there, out = gpuarray.to_gpu(images), gpuarray.zeros((32, 10), np.float32)
        result = runner(image=there, out={"logits": out})
        assert result["logits"] is out
        assert runner._addresses["image"] == there.ptr
        assert runner._addresses["logits"] == out.ptr
        with runner._cuda:
            np.testing.assert_array_equal(out.get(), expected)
            there.gpudata.free()
            out.gpudata.free()


@pytest.mark.skipif(not has("cuda_bindings"), reason="needs cuda-bindings")
def test_pointers_of_cuda_bindings_without_copies(plan, digits):
    from cuda.bindings import runtime

    from helpers.runner import Runner
    from helpers.tensors import DeviceArray

    images = np.ascontiguousarray(digits[0][:32])
    with Runner(plan) as runner:
        expected = runner(image=images)["logits"]
        with runner._cuda:
            _, there = runtime.cudaMalloc(images.nbytes)
            _, out = runtime.cudaMalloc(expected.nbytes)
            kind = runtime.cudaMemcpyKind
            runtime.cudaMemcpy(there, images.ctypes.data, images.nbytes, kind.cudaMemcpyHostToDevice)
            runner(
                image=DeviceArray(int(there), images.shape, images.dtype),
                out={"logits": DeviceArray(int(out), expected.shape, expected.dtype)},
            )
            got = np.empty_like(expected)
            runtime.cudaMemcpy(got.ctypes.data, out, got.nbytes, kind.cudaMemcpyDeviceToHost)
            runtime.cudaFree(there)
            runtime.cudaFree(out)
    np.testing.assert_array_equal(got, expected)


BAD_INPUTS = [
    (lambda x: {}, KeyError),
    (lambda x: {"img": x}, KeyError),
    (lambda x: {"image": x, "more": x}, KeyError),
    (lambda x: {"image": x.astype(np.float64)}, TypeError),
    (lambda x: {"image": x.tolist()}, TypeError),
    (lambda x: {"image": None}, TypeError),
    (lambda x: {"image": x[0]}, ValueError),
    (lambda x: {"image": x[:0]}, ValueError),
    (lambda x: {"image": np.zeros((257, 1, 28, 28), np.float32)}, ValueError),
    (lambda x: {"image": x[:, :, ::2, ::2]}, ValueError),
    (lambda x: {"image": x[::2]}, ValueError),
]


def test_every_bad_input_is_refused_and_the_runner_goes_on(run, digits):
    good = digits[0][:8]
    expected = run(image=good)["logits"]
    with run._cuda:
        free = run._cuda.memory()[0]
    for make, error in BAD_INPUTS:
        with pytest.raises(error):
            run(make(good))
        with pytest.raises((KeyError, TypeError, ValueError)):
            run(image=good, out={"logits": np.zeros((3, 10), np.float32)})
        np.testing.assert_array_equal(run(image=good)["logits"], expected)
    with run._cuda:
        assert run._cuda.memory()[0] >= free


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_output_over_an_input_in_gpu_memory_is_refused(plan, digits, backend):
    from helpers.runner import Runner
    from helpers.tensors import DeviceArray

    images = np.ascontiguousarray(digits[0][:8])
    with Runner(plan, backend=backend) as run:
        expected = run(image=images)["logits"]
        with run._cuda as gpu:
            memory, stream = gpu.allocate(images.nbytes), gpu.stream()
            gpu.to_device(memory.pointer, images, stream)
            gpu.synchronize(stream)
        there = DeviceArray(memory.pointer, images.shape, images.dtype, memory)
        inside = DeviceArray(memory.pointer + images.nbytes - expected.nbytes, expected.shape, expected.dtype, memory)
        for _ in range(3):
            with pytest.raises(ValueError, match=r"out\['logits'\] overlaps input 'image' in device memory"):
                run(image=there, out={"logits": inside})
            np.testing.assert_array_equal(run(image=there)["logits"], expected)


def test_page_locked_memory_is_at_the_same_address_for_the_gpu(run, digits):
    from helpers.tensors import DeviceArray

    expected = run(image=digits[0][:8])["logits"]
    with run._cuda as gpu:
        here = gpu.pinned(expected.shape, expected.dtype)
    for _ in range(3):
        here[:] = np.nan
        run(image=digits[0][:8], out={"logits": DeviceArray(here.ctypes.data, here.shape, here.dtype, here)})
        np.testing.assert_array_equal(here, expected)


def test_nan_is_computed_with(run, digits):
    images = digits[0][:2].copy()
    images[0, 0, 14, 14] = np.nan
    logits = run(image=images)["logits"]
    assert np.isnan(logits[0]).any()
    assert not np.isnan(logits[1]).any()


def test_a_closed_runner_says_so(plan, digits):
    from helpers.runner import Runner

    runner = Runner(plan)
    runner.close()
    runner.close()
    with pytest.raises(RuntimeError, match="closed"):
        runner(image=digits[0][:1])


def test_the_thread_that_is_left_closes_it(plan, digits):
    from helpers.runner import Runner

    made = []

    def work():
        run = Runner(plan)
        made.extend([run, run(image=digits[0][:4])["logits"], run.submit(image=digits[0][:4])])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    run, expected, pending = made
    run.close()
    np.testing.assert_array_equal(pending.result()["logits"], expected)


class TestPlans:
    """Damaged, truncated and foreign plans: refused, and the process lives."""

    def test_the_runtime_refuses_the_plan_of_another_library(self, plan):
        from helpers.engine import EngineError, load_engine

        other = b"ftrt" if plan.startswith(b"vtrt") else b"vtrt"
        with pytest.raises(EngineError):
            load_engine(other + plan[4:], trusted=True)

    def test_a_plan_from_elsewhere_is_not_even_tried(self, plan):
        from helpers.engine import load_engine
        from helpers.plan import PlanUntrusted

        with pytest.raises(PlanUntrusted):
            load_engine(plan[:-1] + bytes([plan[-1] ^ 1]))

    def test_a_saved_plan_loads_and_a_flipped_byte_does_not(self, plan, tmp_path, digits):
        from helpers.plan import PlanError, save_plan
        from helpers.runner import Runner

        path = tmp_path / "lenet.plan"
        save_plan(path, plan)
        with Runner(path) as runner:
            assert runner(image=digits[0][:1])["logits"].shape == (1, 10)
        damaged = bytearray(plan)
        damaged[len(plan) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(PlanError):
            Runner(path)


def test_page_locked_memory_outlives_everything_but_its_views():
    for name in BACKENDS:
        with cuda(name) as backend:
            array = backend.pinned((4, 5), np.dtype(np.float32))
            assert array.shape == (4, 5)
            array[:] = 7
            view = array[1:]
            del array
            gc.collect()
            assert (view == 7).all()


def test_not_enough_memory_is_a_memory_error():
    for name in BACKENDS:
        with cuda(name) as backend, pytest.raises(MemoryError, match="bytes left"):
            backend.allocate(1 << 46)


IF = """<ir_version: 8, opset_import: ["": 17]> g (float[n,8] x, bool flag) => (float[n,4] y) {
    a = Relu (x)
    o = If (flag) <
        then_branch = then () => (float[n,8] t) { t = Mul (a, k) },
        else_branch = else () => (float[n,8] e) { e = Neg (a) }>
    y = MatMul (o, w)
}"""


@pytest.fixture
def conditional():
    """A model with an If, whose condition is an input. 8.6 lets a CUDA graph of it be captured, which keeps the branch
    that was taken then."""
    model = onnx.parser.parse_model(IF)
    weights = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in (("w", weights), ("k", np.float32([0.5])))
    )
    return model, weights


CONDITION = {"profiles": [{"x": ((1, 8), (4, 8), (16, 8))}], "clear_flags": ["TF32"]}


def is_right(run, weights, tolerance):
    x = np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32)
    for _ in range(3):
        for flag in (True, False):
            expected = np.maximum(x, 0) * (0.5 if flag else -1) @ weights
            np.testing.assert_allclose(run(x=x, flag=np.array(flag))["y"], expected, rtol=tolerance, atol=tolerance)


def test_a_branch_is_chosen_in_every_call_and_leaves_no_error_in_the_log(conditional, caplog):
    from helpers.runner import Runner

    model, weights = conditional
    plan = build_plan(parse_onnx(model.SerializeToString()), **CONDITION)
    caplog.set_level(logging.INFO)
    with Runner(plan) as run:
        caplog.clear()
        is_right(run, weights, 1e-4)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_branches_in_fp16(conditional):
    from helpers.precision import to_fp16
    from helpers.runner import Runner

    model, weights = conditional
    flags = ["FP16"] if has("weak_typing") else []
    plan = build_plan(parse_onnx(to_fp16(model).SerializeToString()), flags=flags, **CONDITION)
    with Runner(plan) as run:
        is_right(run, weights, 2e-2)
