"""The cache of plans: what went into a plan finds it again, and nothing wrong ever comes out."""

import dataclasses
import errno
import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import small_models
from onnx import TensorProto, helper, numpy_helper
from plan_fixtures import SPECIAL, build, files, flipped, in_a_child, own_state, relu_network  # noqa: F401
from plan_fixtures import other_plan as other_plan
from plan_fixtures import plan as plan

import helpers.plan_cache
from helpers import trust
from helpers.builder import BuildOptions
from helpers.device import Gpu
from helpers.plan import PlanDamaged, load_plan, save_plan
from helpers.plan_cache import PlanCache
from helpers.trt import has

pytestmark = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")


posix = pytest.mark.skipif(os.name != "posix", reason="needs links, pipes and limits as POSIX has them")


class Build:
    """A build that counts how often it is called."""

    def __init__(self, plan):
        self.plan, self.calls = plan, 0

    def __call__(self):
        self.calls += 1
        return self.plan


@pytest.fixture
def cache(tmp_path) -> PlanCache:
    return PlanCache(tmp_path / "cache")


def entry(cache, source=b"model", options=None):
    return cache.folder / cache.key(source, options) / "engine.plan"


def test_the_second_time_nothing_is_built(cache, plan):
    made = Build(plan)
    for _ in range(3):
        assert cache.get_or_build(b"model", None, made) == plan
    assert made.calls == 1
    assert PlanCache(cache.folder).get_or_build(b"model", None, Build(None)) == plan  # nor in another process
    assert load_plan(entry(cache)) == plan
    assert cache.size() == sum(file.stat().st_size for file in entry(cache).parent.iterdir()) > len(plan)


def test_a_real_build_returns_bytes(cache):
    made = cache.get_or_build(b"relu", {}, lambda: build(relu_network()))  # an IHostMemory
    assert isinstance(made, bytes)
    assert trust.is_trusted(made)
    assert cache.get_or_build(b"relu", {}, Build(None)) == made


class TestKey:
    def test_whatever_decides_about_a_plan_is_in_it(self, cache, monkeypatch):
        first = cache.key(b"model", BuildOptions(targets=("SM86",)))
        assert cache.key(b"model", BuildOptions(targets=("SM86",), progress=True)) == first
        assert cache.key(b"model", dataclasses.asdict(BuildOptions(targets=["SM86"])) | {"progress": True}) != first
        keys = {first, cache.key(b"model", None), cache.key(b"model", {}), cache.key(b"modem", {})}
        assert cache.key(b"model", {"a": 1, "b": 2}) == cache.key(b"model", {"b": 2, "a": 1})
        for name, value in [("SCHEMA", 99), ("FLAVOUR", "another"), ("VERSION", "99.0")]:
            with monkeypatch.context() as patch:
                patch.setattr(helpers.plan_cache, name, value)
                keys.add(cache.key(b"model", {}))
        for gpu in (Gpu("one", (8, 6), 1), Gpu("two", (8, 6), 1), Gpu("two", (8, 9), 1)):
            with monkeypatch.context() as patch:
                patch.setattr(helpers.plan_cache, "gpus", lambda gpu=gpu: (gpu,))
                keys.add(cache.key(b"model", {}))
                first = cache.key(b"model", {})  # the first of several GPUs is the one that is used
                patch.setattr(helpers.plan_cache, "gpus", lambda gpu=gpu: (gpu, Gpu("another", (1, 0), 0)))
                assert cache.key(b"model", {}) == first
        assert len(keys) == 10

    def test_a_model_that_names_files_outside_its_folder_is_refused(self, cache, tmp_path, plan):
        model, path = tmp_path / "m.onnx", tmp_path / "a.plan"
        model.write_bytes(small_models.external("../secret.bin").SerializeToString())
        for call in (
            lambda: cache.key(model),
            lambda: save_plan(path, plan, source=model),
            lambda: save_plan(path, plan) and load_plan(path, trusted=True, source=model),
        ):
            with pytest.raises(ValueError, match="outside the model's folder"):
                call()

    def test_a_file_counts_by_its_contents(self, cache, tmp_path):
        for name in ("a.onnx", "b.onnx"):
            (tmp_path / name).write_bytes(b"model")
        assert cache.key(tmp_path / "a.onnx") == cache.key(str(tmp_path / "b.onnx")) == cache.key(b"model")

    def test_the_weights_of_a_model_with_external_data_count(self, cache, tmp_path, plan):
        weights = numpy_helper.from_array(np.arange(100, dtype=np.float32), "w")
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [100]) for name in "xy")
        graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
        path, made = tmp_path / "m.onnx", Build(plan)
        onnx.save(helper.make_model(graph), path, save_as_external_data=True, location="m.data", size_threshold=0)
        cache.get_or_build(path, None, made)
        (tmp_path / "m.data").write_bytes(flipped((tmp_path / "m.data").read_bytes(), 7))
        cache.get_or_build(path, None, made)
        assert made.calls == 2
        (tmp_path / "m.data").unlink()
        with pytest.raises(FileNotFoundError, match=r"m\.data"):
            cache.get_or_build(path, None, made)

    def test_what_it_cannot_tell_apart_is_refused_before_the_build(self, cache, plan, tmp_path):
        made = Build(plan)
        with pytest.raises(TypeError, match="plain data"):
            cache.get_or_build(b"model", {"a": object()}, made)
        with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
            cache.get_or_build(tmp_path / "nowhere.onnx", None, made)
        assert made.calls == 0


class TestBadEntries:
    @pytest.mark.parametrize(
        ("harm", "reason"),
        [
            (lambda file: file.write_bytes(flipped(file.read_bytes(), 1000)), "SHA-256 differs"),
            (lambda file: file.write_bytes(b""), "is empty"),
            (lambda file: file.unlink(), "there is no plan"),
            (lambda file: file.with_name("engine.plan.json").unlink(), "no sidecar"),
            (lambda file: file.with_name("engine.plan.json").write_text("{}"), "not the sidecar"),
            (lambda file: trust.forget(file.read_bytes()), "not in your list"),
        ],
        ids=["flipped", "empty", "lost", "no sidecar", "sidecar", "untrusted"],
    )
    def test_they_are_built_again_and_the_log_says_why(self, cache, plan, harm, reason, caplog):
        cache.get_or_build(b"model", None, Build(plan))
        harm(entry(cache))
        made = Build(plan)
        for _ in range(2):
            assert cache.get_or_build(b"model", None, made) == plan
        assert made.calls == 1
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert reason in caplog.text

    def test_a_plan_that_somebody_else_put_there_is_not_used(self, cache, plan, other_plan):
        cache.get_or_build(b"model", None, Build(plan))
        helpers.plan.save_plan(entry(cache), other_plan)
        assert cache.get_or_build(b"model", None, Build(plan)) == plan

    def test_entries_that_were_exchanged_are_built_again(self, cache, plan, other_plan, caplog):
        """Both were built here, and each is a good plan: but of another model."""
        made = {b"one": plan, b"other": other_plan}
        for name, content in made.items():
            cache.get_or_build(name, None, Build(content))
        first, second = (entry(cache, name).parent for name in made)
        first.rename(cache.folder / "aside")
        second.rename(first)
        (cache.folder / "aside").rename(second)
        builds = {name: Build(content) for name, content in made.items()}
        for _ in range(2):
            for name, content in made.items():
                assert cache.get_or_build(name, None, builds[name]) == content
        assert [one.calls for one in builds.values()] == [1, 1]
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        for record, place in zip(caplog.records, (first, second), strict=True):
            assert f"{place} holds a plan that was built for another model or with other options" in record.message

    def test_options_that_were_exchanged_too(self, cache, plan, other_plan):
        for options, content in (({"a": 1}, plan), ({"a": 2}, other_plan)):
            cache.get_or_build(b"model", options, Build(content))
        shutil.copytree(
            entry(cache, options={"a": 2}).parent, entry(cache, options={"a": 1}).parent, dirs_exist_ok=True
        )
        made = Build(plan)
        assert cache.get_or_build(b"model", {"a": 1}, made) == plan
        assert made.calls == 1

    @posix
    @pytest.mark.parametrize("kind", ["file", "pipe", "link to a folder", "to an entry", "to nothing", "circle"])
    def test_an_entry_that_is_no_folder_is_replaced(self, cache, plan, kind, tmp_path, caplog):
        theirs = tmp_path / "theirs"
        if kind == "to an entry":
            cache.get_or_build(b"model", None, Build(plan))
            entry(cache).parent.rename(theirs)
        else:
            cache.folder.mkdir()
            theirs.mkdir()
            (theirs / "engine.plan").write_bytes(b"precious")
        place = entry(cache).parent
        if kind == "file":
            place.write_text("x")
        elif kind == "pipe":
            os.mkfifo(place)
        else:
            place.symlink_to({"to nothing": tmp_path / "nowhere", "circle": place}.get(kind, theirs))
        before = {path.name: path.read_bytes() for path in theirs.iterdir()}
        made = Build(plan)
        for _ in range(3):
            assert cache.get_or_build(b"model", None, made) == plan
        assert made.calls == 1
        assert place.is_dir()
        assert not place.is_symlink()
        assert f"{place} is not a folder" in caplog.text
        assert {path.name: path.read_bytes() for path in theirs.iterdir()} == before

    @posix
    @pytest.mark.parametrize("which", ["engine.plan", "engine.plan.json"])
    def test_special_files_in_an_entry_are_built_again(self, tmp_path, which):
        """In a process that may neither hang nor fill the memory."""
        script = (
            "import signal, sys; from pathlib import Path; from plan_fixtures import *\n"
            "from helpers.plan_cache import PlanCache\n"
            "cache, plan = PlanCache(Path(sys.argv[1], 'cache')), made_up(0)\n"
            "cache.get_or_build(b'model', None, lambda: plan); limit_memory(); signal.alarm(60)\n"
            "for kind in SPECIAL:\n"
            f"    make_special(cache.folder / cache.key(b'model') / '{which}', kind)\n"
            "    builds = []\n"
            "    def build(): builds.append(1); return plan\n"
            "    for _ in range(2): assert cache.get_or_build(b'model', None, build) == plan\n"
            "    print(kind, len(builds))"
        )
        assert in_a_child(script, tmp_path).splitlines() == [f"{kind} 1" for kind in SPECIAL]

    @posix
    def test_links_are_not_followed_when_entries_are_deleted(self, cache, plan, tmp_path):
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        (theirs / "engine.plan").write_bytes(bytes(100_000))
        cache.get_or_build(b"model", None, Build(plan))
        size = cache.size()
        (cache.folder / ("0" * 64)).symlink_to(theirs)
        (cache.folder / ("1" * 64)).symlink_to(theirs / "engine.plan")
        (entry(cache).parent / "more").symlink_to(theirs)
        assert size < cache.size() < size + 10_000  # what they lead to does not count
        cache.clear()
        assert os.listdir(cache.folder) == []
        assert (theirs / "engine.plan").stat().st_size == 100_000

    def test_an_entry_that_cannot_be_removed_is_reported(self, cache, plan, monkeypatch, caplog):
        cache.get_or_build(b"model", None, Build(plan))
        entry(cache).write_bytes(b"damaged")
        monkeypatch.setattr(helpers.plan_cache, "_remove", lambda entry: None)
        assert cache.get_or_build(b"model", None, Build(plan)) == plan
        assert "is not a TensorRT plan" in caplog.text
        assert "could not be kept in the cache" in caplog.text

    def test_another_process_that_was_faster_is_no_reason_for_a_warning(self, cache, plan, caplog):
        def build():
            PlanCache(cache.folder).get_or_build(b"model", None, Build(plan))
            return plan

        assert cache.get_or_build(b"model", None, build) == plan
        assert caplog.text == ""
        assert len(os.listdir(cache.folder)) == 1


class TestBuildsThatFail:
    def test_its_exception_passes_through(self, cache):
        def fail():
            raise RuntimeError("the build failed")

        with pytest.raises(RuntimeError, match="the build failed"):
            cache.get_or_build(b"model", None, fail)
        assert files(cache.folder) == []

    def test_what_is_no_plan_is_refused(self, cache):
        with pytest.raises(TypeError, match="look at the errors"):
            cache.get_or_build(b"model", None, lambda: None)
        with pytest.raises(PlanDamaged, match="not a TensorRT plan"):
            cache.get_or_build(b"model", None, lambda: b"<html>" * 100)
        assert files(cache.folder) == []
        assert not trust.is_trusted(b"<html>" * 100)


class TestDisk:
    def test_a_cache_that_cannot_be_written_costs_a_warning_and_not_the_plan(self, tmp_path, plan, caplog):
        (tmp_path / "file").write_text("a file where the folder should be")
        cache = PlanCache(tmp_path / "file" / "cache")
        assert cache.get_or_build(b"model", None, Build(plan)) == plan
        assert "could not be kept" in caplog.text
        assert cache.size() == 0

    def test_a_full_disk_leaves_nothing_behind(self, cache, plan, monkeypatch, caplog):
        def full(handle):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            assert cache.get_or_build(b"model", None, Build(plan)) == plan
        assert "No space left" in caplog.text
        assert files(cache.folder) == []

    def test_the_one_not_used_for_longest_goes_first(self, tmp_path, plan):
        cache = PlanCache(tmp_path / "cache", limit=int(3.5 * len(plan)))
        for age, name in enumerate([b"a", b"b", b"c"]):
            cache.get_or_build(name, None, Build(plan))
            os.utime(entry(cache, name).parent, (1000 + age, 1000 + age))
        assert cache.get_or_build(b"a", None, Build(None)) == plan  # used just now
        cache.get_or_build(b"d", None, Build(plan))
        assert [name for name in (b"a", b"b", b"c", b"d") if entry(cache, name).exists()] == [b"a", b"c", b"d"]
        assert cache.size() <= cache.limit

    def test_a_plan_larger_than_the_cache_does_not_empty_it(self, tmp_path, plan, caplog):
        cache = PlanCache(tmp_path / "cache", limit=len(plan) + 10_000)
        cache.get_or_build(b"small", None, Build(plan))
        large = plan[:16] + (2 * len(plan)).to_bytes(8, "little") + plan[24:] + bytes(len(plan))
        assert cache.get_or_build(b"large", None, Build(large)) == large
        assert "is not kept" in caplog.text
        assert cache.get_or_build(b"small", None, Build(None)) == plan

    def test_clearing_deletes_plans_and_nothing_else(self, cache, plan):
        cache.clear()  # there is no folder yet
        cache.get_or_build(b"model", None, Build(plan))
        (cache.folder / "mine.txt").write_text("keep")
        (cache.folder / "mine").mkdir()
        cache.clear()
        assert sorted(file.name for file in cache.folder.iterdir()) == ["mine", "mine.txt"]
        assert cache.size() == 0

    def test_what_a_killed_process_left_goes_before_a_later_build_is_written(self, cache, plan, monkeypatch):
        left = [cache.folder / f".{cache.key(b'model')}.{digit * 16}.part" for digit in "01"]
        for folder in left:
            folder.mkdir(parents=True)
            (folder / "engine.plan").write_bytes(plan)
        assert cache.size() == 2 * len(plan)
        os.utime(left[0], (0, 0))

        def full(handle, real=os.fsync):
            assert not left[0].exists(), "a full disk may be full of these"
            real(handle)

        monkeypatch.setattr(os, "fsync", full)
        cache.get_or_build(b"model", None, Build(plan))
        assert [folder.exists() for folder in left] == [False, True]  # the other may still be at work

    def test_the_default_folder_is_the_users_own(self, own_state, monkeypatch, tmp_path):  # noqa: F811
        assert PlanCache().folder == own_state / "plans"
        assert PlanCache().limit == 4 * 1024**3
        if sys.platform != "win32":
            monkeypatch.delenv("WORKBOOK_STATE")
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
            assert PlanCache().folder == tmp_path / "xdg" / "tensorrt-workbook" / "plans"


def test_processes_share_a_cache(cache, plan, other_plan, tmp_path, caplog):
    """Four writers with room for two plans only: they evict each other's all the time, and always get the right one."""
    (tmp_path / "one").write_bytes(plan)
    (tmp_path / "other").write_bytes(other_plan)
    script = (
        "import sys; from pathlib import Path; from helpers.plan_cache import PlanCache\n"
        "plans = [Path(name).read_bytes() for name in sys.argv[2:]]\n"
        "cache = PlanCache(sys.argv[1], limit=5 * len(plans[0]) // 2)\n"
        "for i in range(40):\n"
        "    plan = plans[i % 2]\n"
        "    assert cache.get_or_build(b'model %d' % (i % 4), None, lambda: plan) == plan\n"
    )
    command = [sys.executable, "-c", script, str(cache.folder), str(tmp_path / "one"), str(tmp_path / "other")]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [writer.communicate(timeout=60)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, errors
    # A plan that is evicted while it is read is gone, not damaged.
    assert "SHA-256" not in "".join(errors)
    with caplog.at_level(logging.WARNING):
        for i in range(4):
            expected = (plan, other_plan)[i % 2]
            assert cache.get_or_build(b"model %d" % i, None, Build(expected)) == expected
    assert not any(file.endswith(".part") for file in os.listdir(cache.folder))


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match="give the path of a folder"):
        PlanCache(3)
    with pytest.raises(TypeError, match="limit='4GB': give a whole number of bytes"):
        PlanCache(tmp_path, "4GB")
    cache = PlanCache(tmp_path)
    with pytest.raises(TypeError, match="build is bytes: give a function"):
        cache.get_or_build(b"model", {}, b"a plan")
    with pytest.raises(TypeError, match="a model is a file or bytes, not int"):
        cache.key(3)
