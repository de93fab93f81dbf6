"""Plans as files: what is saved comes back, everything else is refused by a message that says what and what to do."""

import dataclasses
import errno
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from plan_fixtures import KERNEL, SPECIAL, build, files, flipped, in_a_child, made_up, make_plan, relu_network
from plan_fixtures import other_plan as other_plan
from plan_fixtures import own_state as own_state
from plan_fixtures import plan as plan

import helpers.plan
import helpers.trt
from helpers import atomic, trust
from helpers.builder import BuildOptions, build_plan
from helpers.device import Gpu
from helpers.model_files import NotAModel, first_look, model_sha256
from helpers.plan import (
    PlanDamaged,
    PlanError,
    PlanInfo,
    PlanMismatch,
    PlanNotFound,
    PlanUntrusted,
    _parse_header,
    load_plan,
    plain_options,
    plan_bytes,
    read_header,
    read_sidecar,
    save_plan,
    sidecar,
    ultralytics_plan,
)
from helpers.trt import FLAVOUR, VERSION, has

pytestmark = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")
rtx = pytest.mark.skipif(FLAVOUR != "tensorrt_rtx", reason="about plans of TensorRT for RTX")
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and limits")
RTX = FLAVOUR == "tensorrt_rtx"


@pytest.fixture
def saved(tmp_path, plan) -> Path:
    """A plan that was built here and saved, with the model that it claims to come from beside it."""
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"a model")
    trust.remember(plan)
    save_plan(folder / "conv.plan", plan, source=folder / "model.onnx", options=BuildOptions(targets=("SM86",)))
    return folder / "conv.plan"


def change_sidecar(path: Path, **fields) -> None:
    known = json.loads(sidecar(path).read_text())
    sidecar(path).write_text(json.dumps(known | fields))


def pretend(monkeypatch, flavour: str, version: str) -> None:
    """Lets this TensorRT be another one."""
    for module in (helpers.plan, helpers.trt):
        monkeypatch.setattr(module, "FLAVOUR", flavour)
        monkeypatch.setattr(module, "VERSION", version)


def foreign(flavour_magic: bytes, version=(8, 6, 0, 0), size=1000) -> bytes:
    """Bytes with the header of a plan of another TensorRT, as it was read off real ones."""
    header = flavour_magic + bytes(12) + struct.pack("<Q", size) + bytes(version)
    return header + bytes(size - len(header))


class TestHeader:
    def test_it_says_who_made_the_plan(self, plan, tmp_path):
        header = read_header(plan)
        assert header.flavour == FLAVOUR
        assert header.size == len(plan)
        assert header.version.split(".")[:2] == VERSION.split(".")[:2]
        (tmp_path / "a.plan").write_bytes(plan)
        assert read_header(tmp_path / "a.plan") == read_header(str(tmp_path / "a.plan")) == header
        assert read_header(memoryview(plan)) == read_header(bytearray(plan)) == header

    @rtx
    @pytest.mark.parametrize(
        "names", ["SM75", "SM80", "SM86", "SM89", "SM120", "SM121", "SM86 SM89", "SM75 SM121", "SM80 SM86 SM89 SM120"]
    )
    def test_the_targets_are_those_of_the_build(self, names):
        targets = tuple(names.split())
        header = read_header(build(relu_network(), targets))
        assert header.targets == targets
        assert header.version == VERSION

    @rtx
    def test_every_bit_of_the_targets_counts(self):
        header = bytearray(64)
        header[:4], header[16], header[32:36] = b"vtrt", 64, (1 << 31 | 1).to_bytes(4, "little")
        assert read_header(bytes(header)).targets == ("SM75", "bit 31")

    def test_only_plans_of_rtx_name_targets(self):
        header = bytearray(64)
        header[:4], header[16], header[32] = b"ftrt", 64, 7
        assert read_header(bytes(header)).targets == ()

    def test_a_plan_for_all_targets_names_one_that_the_library_does_not(self):
        assert read_header(make_plan(targets=())).targets == ("SM80", "SM86", "SM89", "SM120", "SM121", "bit 6")

    def test_a_plan_of_the_full_library(self):
        header = read_header(foreign(b"ftrt"))
        assert (header.flavour, header.version, header.targets) == ("tensorrt", "8.6.0", ())

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda p: b"", "is empty"),
            (lambda p: p[:40], "cut off within its header, after 40 bytes"),
            (lambda p: p[:3], "not a TensorRT plan"),
            (lambda p: p[:-1], "bytes long, but its header says"),
            (lambda p: p + b"\0", "bytes long, but its header says"),
            (
                lambda p: b"<!DOCTYPE html><html>404" + bytes(500),
                r"not a TensorRT plan: it begins with b'<!DOCTYPE html>",
            ),
            (lambda p: b"just text\n" * 100, "not a TensorRT plan"),
            (lambda p: flipped(p, 0), "not a TensorRT plan"),
        ],
        ids=["empty", "header", "magic", "truncated", "longer", "html", "text", "flipped"],
    )
    def test_what_is_no_plan_is_refused(self, plan, damage, message, tmp_path):
        with pytest.raises(PlanDamaged, match=f"the plan .*{message}"):
            read_header(damage(plan))
        (tmp_path / "bad.plan").write_bytes(damage(plan))
        for reader in (read_header, load_plan):
            with pytest.raises(PlanDamaged, match=rf"bad\.plan .*{message}"):
                reader(tmp_path / "bad.plan")
        (tmp_path / "out").mkdir()
        with pytest.raises(PlanDamaged, match=message):
            save_plan(tmp_path / "out" / "bad.plan", damage(plan))
        assert files(tmp_path / "out") == []

    def test_less_was_read_than_the_file_is_long(self):
        """As of a file that somebody cuts off meanwhile."""
        with pytest.raises(PlanDamaged, match="cut off within its header"):
            _parse_header("a.plan", b"ftrt" + bytes(20), 1000)


class TestSave:
    def test_what_is_saved_comes_back(self, saved, plan):
        assert load_plan(saved) == plan
        assert load_plan(str(saved), source=saved.with_name("model.onnx")) == plan
        assert files(saved.parent) == ["conv.plan", "conv.plan.json", "model.onnx"]

    def test_the_sidecar_says_what_the_plan_is(self, tmp_path, plan):
        (tmp_path / "model.onnx").write_bytes(b"a model")
        options = {"levels": (1, 2), "flags": ["TF32"]}
        info = save_plan(tmp_path / "new" / "a.plan", plan, source=tmp_path / "model.onnx", options=options)
        assert read_sidecar(tmp_path / "new" / "a.plan") == info
        assert isinstance(info, PlanInfo)
        assert (info.flavour, info.version, info.size) == (FLAVOUR, VERSION, len(plan))
        assert info.sha256 == trust.sha256(plan)
        assert (info.source, info.source_sha256) == ("model.onnx", trust.sha256(b"a model"))
        assert info.options == {"levels": [1, 2], "flags": ["TF32"]}
        assert info.targets == (("SM86",) if RTX else ())
        assert info.created.endswith("+00:00")
        with pytest.raises(dataclasses.FrozenInstanceError):
            info.size = 0

    def test_any_buffer_will_do(self, tmp_path):
        host = build(relu_network())  # an IHostMemory, as the library returns it
        save_plan(tmp_path / "a.plan", host)
        assert load_plan(tmp_path / "a.plan", trusted=True) == bytes(host)

    @pytest.mark.parametrize(
        ("bad", "message"), [(None, "look at the errors"), ("text", "bytes, not str"), (5, "bytes, not int")]
    )
    def test_what_a_failed_build_leaves_is_refused(self, tmp_path, bad, message):
        with pytest.raises(TypeError, match=message):
            save_plan(tmp_path / "a.plan", bad)
        assert files(tmp_path) == []

    @pytest.mark.parametrize("options", [{"a": object()}, {"a": float("nan")}, ["a"], {"a": {1, 2}}])
    def test_options_must_be_plain_data(self, tmp_path, plan, options):
        with pytest.raises(TypeError, match="options"):
            save_plan(tmp_path / "a.plan", plan, options=options)
        assert files(tmp_path) == []

    def test_options_that_do_not_count_are_left_out(self):
        assert plain_options(BuildOptions(progress=True)) == plain_options(BuildOptions())
        assert plain_options(None) is None

    def test_a_missing_model_is_noticed_before_anything_is_written(self, tmp_path, plan):
        with pytest.raises(FileNotFoundError, match=r"no model .*nowhere\.onnx"):
            save_plan(tmp_path / "a.plan", plan, source=tmp_path / "nowhere.onnx")
        assert files(tmp_path) == []

    def test_a_plan_saved_on_a_gpu_says_which(self, tmp_path, plan, monkeypatch):
        monkeypatch.setattr(helpers.plan, "gpus", lambda: (Gpu("NVIDIA A10", (8, 6), 1),))
        info = save_plan(tmp_path / "a.plan", plan)
        assert (info.gpu, info.compute_capability) == ("NVIDIA A10", "8.6")
        # One that another TensorRT made may come from any machine.
        info = save_plan(tmp_path / "b.plan", foreign(b"vtrt" if FLAVOUR == "tensorrt" else b"ftrt"))
        assert (info.gpu, info.compute_capability) == (None, None)


class TestAtomic:
    """Whatever happens while saving: the old plan is still there, and still loads."""

    def survives(self, saved, plan):
        assert load_plan(saved) == plan
        assert files(saved.parent) == ["conv.plan", "conv.plan.json", "model.onnx"]

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
    def test_a_failure_leaves_the_old_plan(self, saved, plan, other_plan, monkeypatch, call, error):
        def fail(*args):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(type(error)):
                save_plan(saved, other_plan)
        self.survives(saved, plan)

    def test_a_disk_that_is_full_at_the_sidecar_leaves_the_old_plan(self, saved, plan, other_plan, monkeypatch):
        real, calls = os.fsync, []

        def second_fails(handle):
            calls.append(handle)
            if len(calls) == 2:
                raise OSError(28, "No space left on device")
            real(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", second_fails)
            with pytest.raises(OSError, match="No space"):
                save_plan(saved, other_plan)
        self.survives(saved, plan)

    def second_rename_fails(self, monkeypatch):
        real, calls = os.replace, []

        def fail(*args):
            calls.append(args)
            if len(calls) == 2:
                raise OSError("the second rename failed")
            real(*args)

        monkeypatch.setattr(os, "replace", fail)

    def test_a_first_save_that_fails_leaves_nothing(self, tmp_path, plan, monkeypatch):
        self.second_rename_fails(monkeypatch)
        with pytest.raises(OSError, match="second rename"):
            save_plan(tmp_path / "a.plan", plan)
        assert files(tmp_path) == []

    def test_a_rename_that_fails_midway_leaves_the_old_plan(self, saved, plan, other_plan, monkeypatch):
        before = sidecar(saved).read_bytes()
        with monkeypatch.context() as patch:
            self.second_rename_fails(patch)
            with pytest.raises(OSError, match="second rename"):
                save_plan(saved, other_plan)
        self.survives(saved, plan)
        assert sidecar(saved).read_bytes() == before

    def test_a_save_that_cannot_tidy_up_has_saved(self, saved, other_plan, monkeypatch):
        real, calls = os.replace, []

        def third_fails(*args):
            calls.append(args)
            if len(calls) == 3:
                raise OSError("the third rename failed")
            real(*args)

        trust.remember(other_plan)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", third_fails)
            info = save_plan(saved, other_plan)
        self.survives(saved, other_plan)
        assert "before" in json.loads(sidecar(saved).read_text())
        assert read_sidecar(saved) == info

    def test_a_folder_in_the_place_of_the_sidecar_leaves_the_old_plan(self, saved, plan, other_plan):
        sidecar = saved.with_name("conv.plan.json")
        text = sidecar.read_text()
        sidecar.unlink()
        sidecar.mkdir()
        with pytest.raises(IsADirectoryError):
            save_plan(saved, other_plan)
        sidecar.rmdir()
        sidecar.write_text(text)
        self.survives(saved, plan)

    @posix
    def test_a_process_killed_at_any_step_leaves_the_old_pair_or_the_new_one(self, tmp_path):
        """Before each call that changes something on the disk in turn, without a complete save in between."""
        script = (
            "import os, sys, time; from itertools import count; from pathlib import Path; from plan_fixtures import *\n"
            "from helpers.plan import load_plan, read_sidecar, save_plan, PlanNotFound\n"
            "plans, path, seen = [made_up(0), made_up(1), made_up(2, 5000)], sys.argv[1] + '/a.plan', set()\n"
            "for plan in plans: trust.remember(plan)\n"
            "calls = 'open write flush fsync fchmod close flock replace unlink _exit'.split()\n"
            "def kill_at(step):\n"
            "    def look(frame, event, function):\n"
            "        nonlocal step\n"
            "        if event == 'c_call' and function.__name__ in calls:\n"
            "            step -= 1\n"
            "            if not step: os.kill(os.getpid(), 9)\n"
            "    sys.setprofile(look)\n"
            "def loaded():\n"
            "    try: plan = load_plan(path)\n"
            "    except PlanNotFound: return None\n"
            "    assert read_sidecar(path).sha256 == trust.sha256(plan)\n"
            "    return plan\n"
            "for step in count(1):\n"
            "    old, new = loaded(), plans[step % 3]\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        kill_at(step); save_plan(path, new); os._exit(0)\n"
            "    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
            "    now = loaded()\n"
            "    assert now in (old, new), step\n"
            "    seen.add((old is None, now == new))\n"
            "    if ended != -9: break\n"
            "assert ended == 0\n"
            "print(step, sorted(seen))"
        )
        steps, seen = in_a_child(script, tmp_path).split(" ", 1)
        assert int(steps) > 20
        assert seen == "[(False, False), (False, True), (True, False), (True, True)]\n", (
            "killed too early, and late enough"
        )

    @posix
    @pytest.mark.parametrize("when", ["fsync", "replace"])
    def test_a_process_killed_in_the_middle_leaves_the_old_plan(self, saved, plan, other_plan, tmp_path, when):
        (tmp_path / "other").write_bytes(other_plan)
        script = (
            "import os, signal, sys; from pathlib import Path; from helpers.plan import save_plan\n"
            f"os.{when} = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
            "save_plan(sys.argv[1], Path(sys.argv[2]).read_bytes())"
        )
        ended = subprocess.run([sys.executable, "-c", script, str(saved), str(tmp_path / "other")], timeout=60)
        assert ended.returncode == -signal.SIGKILL
        assert load_plan(saved) == plan
        left = [file for file in saved.parent.iterdir() if file.suffix == ".part"]
        assert left
        # It could not clean up; whoever saves next does, but not while another process may still be writing.
        save_plan(saved, plan)
        assert all(file.exists() for file in left)
        for file in left:
            os.utime(file, (0, 0))
        save_plan(saved, plan)
        assert files(saved.parent) == ["conv.plan", "conv.plan.json", "model.onnx"]

    @posix
    def test_a_disk_that_is_really_full(self, saved, plan, other_plan, tmp_path):
        (tmp_path / "other").write_bytes(other_plan)
        script = (
            "import resource, signal, sys; from pathlib import Path; from helpers.plan import save_plan\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "save_plan(sys.argv[1], Path(sys.argv[2]).read_bytes())"
        )
        ended = subprocess.run(
            [sys.executable, "-c", script, str(saved), str(tmp_path / "other")],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "OSError" in ended.stderr
        self.survives(saved, plan)

    def test_many_processes_save_under_one_name(self, saved, plan, other_plan, tmp_path):
        """Whoever reads meanwhile gets one plan or the other, and so does whoever reads at the end."""
        trust.remember(other_plan)
        (tmp_path / "other").write_bytes(other_plan)
        (tmp_path / "one").write_bytes(plan)
        script = (
            "import sys; from pathlib import Path; from helpers.plan import save_plan\n"
            "plan = Path(sys.argv[2]).read_bytes()\n"
            "for _ in range(12): save_plan(sys.argv[1], plan)"
        )
        writers = [
            subprocess.Popen([sys.executable, "-c", script, str(saved), str(tmp_path / name)])
            for name in ("one", "other", "one")
        ]
        loaded = 0
        try:
            while any(writer.poll() is None for writer in writers):
                assert load_plan(saved) in (plan, other_plan)
                assert read_sidecar(saved).size in (len(plan), len(other_plan))
                loaded += 1
        finally:
            assert [writer.wait(60) for writer in writers] == [0, 0, 0]
        assert loaded
        self.survives(saved, load_plan(saved))
        assert "before" not in json.loads(sidecar(saved).read_text())

    @posix
    def test_whoever_keeps_the_folder_locked_is_named(self, saved, plan, other_plan, monkeypatch):
        def locked(path):
            return atomic.locked(path, seconds=0.05)

        monkeypatch.setattr(helpers.plan, "locked", locked)
        with atomic.locked(saved), pytest.raises(TimeoutError, match=r"locked: .*conv\.plan'"):
            save_plan(saved, other_plan)
        self.survives(saved, plan)

    @posix
    def test_permissions_are_kept(self, saved, other_plan):
        saved.chmod(0o600)
        sidecar(saved).chmod(0o640)
        save_plan(saved, other_plan)
        assert saved.stat().st_mode & 0o777 == 0o600
        assert sidecar(saved).stat().st_mode & 0o777 == 0o640

    def test_what_a_killed_save_left_is_told_by_size_or_by_checksum(self, tmp_path):
        """The sidecar then describes the new plan and the one before."""
        path, (old, same, longer) = tmp_path / "a.plan", (made_up(0), made_up(1), made_up(2, 5000))
        for made in (old, same, longer):
            trust.remember(made)
        for new in (same, longer):
            first = save_plan(path, old, options={"which": "first"})
            text = sidecar(path).read_text()
            second = save_plan(path, new, options={"which": "second"})
            change_sidecar(path, before=json.loads(text))
            assert load_plan(path) == new
            assert read_sidecar(path) == second
            path.write_bytes(old)
            assert load_plan(path) == load_plan(path, trusted=True) == old
            assert read_sidecar(path) == first
            trust.forget(old)
            with pytest.raises(PlanUntrusted):
                load_plan(path)
            trust.remember(old)
            path.write_bytes(flipped(old, 100))
            with pytest.raises(PlanDamaged, match="its SHA-256 differs"):
                load_plan(path)
            path.unlink()
            assert read_sidecar(path) == second  # of a plan that somebody has still to copy, say

    def test_one_of_the_two_is_not_in_the_list(self, tmp_path):
        """That the other one is must not let it in, though they have the same size."""
        path, (old, new) = tmp_path / "a.plan", (made_up(0), made_up(1))
        trust.remember(old)
        save_plan(path, old)
        text = sidecar(path).read_text()
        save_plan(path, new)
        change_sidecar(path, before=json.loads(text))
        with pytest.raises(PlanUntrusted):
            load_plan(path)
        assert load_plan(path, trusted=True) == new

    @pytest.mark.parametrize("text", ["no sidecar", "[1]", "[" * 100_000, '{"before": 1}'])
    def test_what_is_no_sidecar_is_replaced(self, saved, other_plan, text):
        trust.remember(other_plan)
        sidecar(saved).write_text(text)
        save_plan(saved, other_plan)
        self.survives(saved, other_plan)

    def test_options_too_long_for_a_sidecar_are_refused(self, saved, plan, other_plan):
        with pytest.raises(ValueError, match="the options are .* bytes long"):
            save_plan(saved, other_plan, options={"a": list(range(100_000))})
        self.survives(saved, plan)
        most = {
            "a": [1] * 29_000
        }  # which still are short enough in the middle of a save, when the sidecar tells of two
        save_plan(saved, plan, options=most)
        text = sidecar(saved).read_bytes()
        assert len(text) > helpers.plan.SIDECAR_BYTES / 5
        sidecar(saved).write_bytes(helpers.plan._text(read_sidecar(saved), read_sidecar(saved)))
        self.survives(saved, plan)
        assert sidecar(saved).stat().st_size > 2 * len(text)


class TestWhileOthersSave:
    """A save goes by between the moments in which the plan and its sidecar are read."""

    @pytest.fixture
    def save_meanwhile(self, saved, monkeypatch):
        """A function that says what is saved after the plan was opened: the first time, the second time, …"""

        def saves(*plans):
            waiting = list(plans)

            def described(path, real=helpers.plan._described):
                if waiting:
                    save_plan(path, waiting.pop(0))
                return real(path)

            monkeypatch.setattr(helpers.plan, "_described", described)

        return saves

    def test_the_new_plan_is_loaded(self, saved, plan, save_meanwhile):
        for new in (made_up(1), made_up(2, len(plan))):  # of another size, and of the same
            trust.remember(new)
            save_plan(saved, plan)
            save_meanwhile(new)
            assert load_plan(saved) == new

    def test_it_looks_until_it_sees_the_same_twice(self, saved, save_meanwhile):
        plans = [made_up(number) for number in range(5)]
        for made in plans:
            trust.remember(made)
        save_meanwhile(*plans)
        assert load_plan(saved) == plans[-1]

    def test_it_does_not_look_for_ever(self, saved, plan, save_meanwhile):
        for number in range(30):
            trust.remember(made_up(number))
        save_meanwhile(*(made_up(number) for number in range(30)))
        with pytest.raises(PlanDamaged, match="is not what was saved"):
            load_plan(saved)


@pytest.fixture(scope="module")
def special(tmp_path_factory) -> dict:
    """How each way of reading answers to what is no file, tried in a process that may neither hang nor fill the memory:
    what it raised, and its message, by (what was exchanged, for what, how it was read)."""
    script = (
        "import json, signal, sys; from pathlib import Path; from plan_fixtures import *\n"
        "from helpers.plan import load_plan, read_header, read_sidecar, save_plan, sidecar\n"
        "ways = {'load': load_plan, 'trusted': lambda path: load_plan(path, trusted=True), 'header': read_header,\n"
        "        'sidecar': read_sidecar, 'save': lambda path: save_plan(path, made_up(1))}\n"
        "plan, answers = made_up(0), {}\n"
        "trust.remember(plan); limit_memory()\n"
        "for which in ('plan', 'sidecar'):\n"
        "    for kind in SPECIAL:\n"
        "        for name, way in ways.items():\n"
        "            path = Path(sys.argv[1], f'{which} {kind} {name}', 'a.plan'); save_plan(path, plan)\n"
        "            make_special(path if which == 'plan' else sidecar(path), kind); signal.alarm(20)\n"
        "            try: answer = ['', str(way(path))[:100]]\n"
        "            except Exception as error: answer = [type(error).__name__, str(error)]\n"
        "            answers[f'{which} {kind} {name}'] = answer\n"
        "print(json.dumps(answers))"
    )
    return json.loads(in_a_child(script, tmp_path_factory.mktemp("special")))


@posix
class TestWhatIsNoFile:
    @pytest.mark.parametrize("way", ["load", "trusted", "header"])
    @pytest.mark.parametrize("kind", SPECIAL)
    def test_in_the_place_of_the_plan(self, special, kind, way):
        error, message = special[f"plan {kind} {way}"]
        assert error == "PlanDamaged"
        assert "a.plan" in message
        assert ("its header says" if kind == "holes" else "is not a file") in message

    @pytest.mark.parametrize("way", ["load", "trusted", "sidecar"])
    @pytest.mark.parametrize("kind", SPECIAL)
    def test_in_the_place_of_the_sidecar(self, special, kind, way):
        error, message = special[f"sidecar {kind} {way}"]
        assert error == "PlanDamaged"
        assert "a.plan.json is not the sidecar of a plan" in message

    @pytest.mark.parametrize("which", ["plan", "sidecar"])
    @pytest.mark.parametrize("kind", SPECIAL)
    def test_nothing_is_saved_over_it(self, special, which, kind):
        error, message = special[f"{which} {kind} save"]
        if (which, kind) == ("plan", "holes"):  # a file as any other
            assert error == ""
        else:
            assert error in ("OSError", "IsADirectoryError")
            assert "a.plan" in message

    def test_a_terabyte_of_holes_that_is_as_long_as_it_says(self, tmp_path):
        """A stranger's is not read at all, and for one that is said to be trusted there is no memory."""
        script = (
            "import json, sys; from pathlib import Path; from plan_fixtures import *\n"
            "from helpers.plan import *; from helpers.plan import PlanError, sidecar\n"
            "path, plan = Path(sys.argv[1], 'a.plan'), bytearray(made_up(0))\n"
            "known = json.loads(save_plan(path, plan) and sidecar(path).read_text())\n"
            "plan[16:24] = struct.pack('<Q', 1 << 40); path.write_bytes(plan); make_special(path, 'holes')\n"
            "known['size'] = 1 << 40; sidecar(path).write_text(json.dumps({**known, 'before': known}))\n"
            "limit_memory(); print(read_header(path).size, read_sidecar(path).size)\n"
            "for trusted in (False, True):\n"
            "    try: load_plan(path, trusted=trusted)\n"
            "    except PlanError as error: print(type(error).__name__, error)"
        )
        sizes, stranger, trusted = in_a_child(script, tmp_path).splitlines()
        assert sizes == f"{1 << 40} {1 << 40}"
        assert stranger.startswith("PlanUntrusted ")
        assert stranger.endswith("where it comes from")
        assert trusted.startswith("PlanError ")
        assert "a.plan is 1,099,511,627,776 bytes long, and there is no memory" in trusted

    def test_a_plan_that_is_cut_off_while_it_is_read(self, saved, plan, monkeypatch):
        real = helpers.plan._described

        def described(path):
            os.truncate(path, len(plan) - 1)
            return real(path)

        monkeypatch.setattr(helpers.plan, "_described", described)
        sidecar(saved).unlink()
        with pytest.raises(PlanDamaged, match="its header says"):
            load_plan(saved, trusted=True)

    def test_a_plan_that_must_not_be_read_is_not_called_damaged(self, saved, monkeypatch):
        def open_regular(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(helpers.plan, "open_regular", open_regular)
        for reader in (load_plan, read_header):
            with pytest.raises(PermissionError, match=r"conv\.plan"):
                reader(saved)


class TestLoad:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(PlanNotFound, match=r"there is no plan .*nowhere\.plan: build it"):
            load_plan(tmp_path / "nowhere.plan")
        with pytest.raises(FileNotFoundError):
            load_plan(tmp_path / "nowhere.plan")
        with pytest.raises(PlanDamaged, match="is not a file"):
            load_plan(tmp_path)

    def test_a_byte_flipped_in_the_weights(self, saved, plan):
        where = plan.rfind(KERNEL[0, 0, 0, 0].tobytes()) if RTX else len(plan) // 2
        assert where > 0
        saved.write_bytes(flipped(plan, where))
        for trusted in (False, True):
            with pytest.raises(PlanDamaged, match=r"conv\.plan is not what was saved: its SHA-256 differs"):
                load_plan(saved, trusted=trusted)

    def test_no_sidecar(self, saved, plan):
        sidecar(saved).unlink()
        with pytest.raises(PlanDamaged, match=r"has no sidecar conv\.plan\.json beside it: copy both"):
            load_plan(saved)
        assert load_plan(saved, trusted=True) == plan

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b"", "Expecting value"),
            (b"\x89PNG garbage", "decode"),
            (b"[" * 100_000, "recursion"),
            (b"[1, 2]", "a JSON list, not an object"),
            (b"null", "a JSON NoneType, not an object"),
            (b"{}", "no field 'flavour'"),
        ],
        ids=["empty", "bytes", "deep", "list", "null", "object"],
    )
    def test_a_sidecar_that_is_none(self, saved, text, message):
        sidecar(saved).write_bytes(text)
        for trusted in (False, True):
            with pytest.raises(PlanDamaged, match=rf"conv\.plan\.json is not the sidecar of a plan .*{message}"):
                load_plan(saved, trusted=trusted)

    @pytest.mark.parametrize(
        "wrong",
        [{"size": "many"}, {"sha256": None}, {"targets": "SM86"}, {"options": [1]}, {"version": 8.6}, {"gpu": 0}],
    )
    def test_a_sidecar_with_a_wrong_field_is_refused_by_the_name_of_the_field(self, saved, wrong):
        change_sidecar(saved, **wrong)
        with pytest.raises(PlanDamaged, match=f"its field '{next(iter(wrong))}' is"):
            load_plan(saved)

    def test_a_sidecar_that_cannot_be_read(self, saved):
        sidecar(saved).unlink()
        sidecar(saved).mkdir()
        with pytest.raises(PlanDamaged, match="not the sidecar"):
            load_plan(saved, trusted=True)

    def test_a_later_sidecar_may_know_more(self, saved, plan):
        change_sidecar(saved, mood="good")
        assert load_plan(saved) == plan

    def test_a_plan_of_another_flavour(self, tmp_path):
        path = tmp_path / "a.plan"
        save_plan(path, foreign(b"vtrt" if FLAVOUR == "tensorrt" else b"ftrt"))
        with pytest.raises(PlanMismatch, match=rf"\(flavour: tensorrt\w* in the plan, {FLAVOUR} here\): build") as e:
            load_plan(path, trusted=True)
        assert e.value.field == "flavour"
        assert e.value.here == FLAVOUR
        assert isinstance(e.value, PlanError)

    def test_a_plan_of_another_version(self, tmp_path, plan):
        path = tmp_path / "a.plan"
        path.write_bytes(plan[:24] + bytes([99]) + plan[25:])
        with pytest.raises(
            PlanMismatch, match=rf"a\.plan does not fit \(TensorRT version: 99\..* in the plan, {VERSION} here"
        ):
            load_plan(path, trusted=True)
        save_plan(path, path.read_bytes())
        assert read_sidecar(path).version.startswith("99.")
        with pytest.raises(PlanMismatch, match="TensorRT version: 99"):
            load_plan(path, trusted=True)

    def test_a_plan_of_another_patch_release(self, saved):
        newer = ".".join([*VERSION.split(".")[:2], "77"])
        change_sidecar(saved, version=newer)
        with pytest.raises(PlanMismatch, match=f"TensorRT version: {newer} in the plan"):
            load_plan(saved)

    def test_a_version_compatible_plan_is_left_to_the_runtime(self, saved, plan, monkeypatch):
        save_plan(saved, plan, options=BuildOptions(flags=("VERSION_COMPATIBLE",)))
        pretend(monkeypatch, FLAVOUR, "99.1.0")
        assert load_plan(saved) == plan

    def test_lean_runtimes_run_plans_of_the_full_library(self, tmp_path, monkeypatch):
        save_plan(tmp_path / "a.plan", foreign(b"ftrt"))
        pretend(monkeypatch, "tensorrt_lean", "10.16.1.11")
        assert load_plan(tmp_path / "a.plan", trusted=True) == foreign(b"ftrt")

    @rtx
    def test_the_targets_count_where_there_is_a_gpu(self, saved, plan, monkeypatch):
        def machine(*capability):
            monkeypatch.setattr(helpers.plan, "gpus", lambda: (Gpu("a GPU", capability, 1),))

        machine(8, 6)
        assert load_plan(saved) == plan
        machine(9, 0)
        with pytest.raises(PlanMismatch, match="targets: SM86 in the plan, SM90 here"):
            load_plan(saved)
        everything = make_plan(targets=())
        save_plan(saved, everything)
        trust.remember(everything)
        machine(7, 5)  # named, and not among the targets
        with pytest.raises(PlanMismatch, match="SM75 here"):
            load_plan(saved)
        machine(12, 9)  # might be the target without a name: the runtime knows
        assert load_plan(saved) == everything

    def test_a_plan_for_another_gpu(self, tmp_path, monkeypatch):
        """As the full library makes them: for the GPU at hand."""
        made, path = foreign(b"ftrt"), tmp_path / "a.plan"
        pretend(monkeypatch, "tensorrt", "8.6.1")

        def machine(name, *capability):
            monkeypatch.setattr(helpers.plan, "gpus", lambda: (Gpu(name, capability, 1),))

        machine("NVIDIA H100", 9, 0)
        info = save_plan(path, made)
        assert (info.version, info.compute_capability) == ("8.6.1", "9.0")
        assert load_plan(path, trusted=True) == made
        machine("NVIDIA A100", 8, 0)
        with pytest.raises(PlanMismatch, match=r"compute capability: 9\.0 in the plan, 8\.0 here"):
            load_plan(path, trusted=True)
        machine("NVIDIA H200", 9, 0)
        with pytest.raises(PlanMismatch, match="GPU: NVIDIA H100 in the plan, NVIDIA H200 here"):
            load_plan(path, trusted=True)
        change_sidecar(path, options={"hardware_compatible": True})
        assert load_plan(path, trusted=True) == made
        monkeypatch.setattr(helpers.plan, "gpus", lambda: ())  # to be copied to a machine with a GPU, say
        assert load_plan(path, trusted=True) == made

    def test_a_model_that_changed_since(self, saved, plan):
        model = saved.with_name("model.onnx")
        model.write_bytes(b"a better model")
        with pytest.raises(PlanMismatch, match=r"source model: model\.onnx with SHA-256 \w{12}… in the plan") as e:
            load_plan(saved, source=model)
        assert e.value.field == "source model"
        assert load_plan(saved) == plan  # nobody asked
        with pytest.raises(FileNotFoundError, match=r"there is no model .*nowhere\.onnx"):
            load_plan(saved, source=saved.with_name("nowhere.onnx"))

    def test_a_model_that_the_sidecar_does_not_know(self, saved, plan):
        model = saved.with_name("model.onnx")
        save_plan(saved, plan)
        with pytest.raises(PlanMismatch, match="source model: unknown in the plan"):
            load_plan(saved, source=model)
        sidecar(saved).unlink()
        with pytest.raises(PlanMismatch, match="source model"):
            load_plan(saved, source=model, trusted=True)


class TestTrust:
    def test_a_plan_from_elsewhere(self, saved, plan, other_plan):
        save_plan(saved, other_plan)
        with pytest.raises(PlanUntrusted, match=r"conv\.plan is not in your list .* executable code.*trusted=True"):
            load_plan(saved)
        assert load_plan(saved, trusted=True) == other_plan

    def test_a_forged_sidecar_does_not_help(self, saved, plan):
        attack = flipped(plan, len(plan) // 2)
        saved.write_bytes(attack)
        change_sidecar(saved, sha256=trust.sha256(attack))
        with pytest.raises(PlanUntrusted, match="not in your list"):
            load_plan(saved)

    def test_a_build_whose_plan_cannot_be_noted_is_not_lost(self, tmp_path, monkeypatch, caplog):
        (tmp_path / "file").write_text("a file where the folder should be")
        monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "file" / "state"))
        made = build_plan(relu_network())
        assert "could not be noted" in caplog.text
        save_plan(tmp_path / "a.plan", made)
        with pytest.raises(PlanUntrusted):
            load_plan(tmp_path / "a.plan")
        assert load_plan(tmp_path / "a.plan", trusted=True) == made

    def test_a_plan_that_was_forgotten(self, saved, plan):
        trust.forget(plan)
        with pytest.raises(PlanUntrusted):
            load_plan(saved)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("flavour", "tensorrt_lean"), ("version", "99.0.0"), ("targets", ["SM75"]), ("size", 1), ("sha256", "0" * 64)],
    )
    def test_a_sidecar_that_contradicts_the_plan(self, saved, field, value):
        change_sidecar(saved, **{field: value})
        with pytest.raises(PlanDamaged, match="SHA-256" if field == "sha256" else field):
            load_plan(saved, trusted=True)


class TestModelDigest:
    """What tells whether a model has changed: all its files."""

    def external(self, folder, values=(1.0, 2.0)) -> Path:
        weights = numpy_helper.from_array(np.array(values * 600, np.float32), "w")
        add = helper.make_node("Add", ["x", "w"], ["y"])
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1200]) for name in "xy")
        model = helper.make_model(helper.make_graph([add], "g", [x], [y], [weights]))
        onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
        return folder / "m.onnx"

    def test_one_file_has_the_digest_that_sha256sum_prints(self, tmp_path):
        (tmp_path / "m.onnx").write_bytes(b"a model")
        assert model_sha256(tmp_path / "m.onnx") == model_sha256(b"a model") == trust.sha256(b"a model")
        # The word alone does not make it an ONNX model.
        assert model_sha256(b"location" * 10) == trust.sha256(b"location" * 10)

    def test_external_data_counts(self, tmp_path):
        before = model_sha256(self.external(tmp_path))
        assert before == model_sha256(tmp_path / "m.onnx")
        assert before != trust.sha256((tmp_path / "m.onnx").read_bytes())
        data = (tmp_path / "m.data").read_bytes()
        (tmp_path / "m.data").write_bytes(flipped(data, 100))
        assert model_sha256(tmp_path / "m.onnx") != before
        (tmp_path / "m.data").write_bytes(data)
        assert model_sha256(tmp_path / "m.onnx") == before

    def test_external_data_in_a_subgraph_counts(self, tmp_path):
        tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="deep.data")
        constant = helper.make_node("Constant", [], ["c"], value=tensor)
        branch = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])])
        node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
        (tmp_path / "m.onnx").write_bytes(helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString())
        with pytest.raises(FileNotFoundError, match=r"m\.onnx keeps weights in 'deep\.data', which is not in"):
            model_sha256(tmp_path / "m.onnx")
        (tmp_path / "deep.data").write_bytes(b"1234")
        first = model_sha256(tmp_path / "m.onnx")
        (tmp_path / "deep.data").write_bytes(b"1235")
        assert model_sha256(tmp_path / "m.onnx") != first


class TestUltralytics:
    """Engines of Ultralytics: 4 bytes of length and a JSON text stand before the plan."""

    TEXT = json.dumps({"stride": 32, "names": {"0": "thing"}}).encode()

    def engine(self, folder, plan, text=TEXT, length=None):
        path = folder / "yolo.engine"
        path.write_bytes(struct.pack("<I", len(text) if length is None else length) + text + plan)
        return path

    @pytest.mark.parametrize("trusted", [False, True])
    def test_load_plan_says_what_it_is(self, tmp_path, trusted):
        with pytest.raises(PlanDamaged, match=r"an Ultralytics engine.*ultralytics_plan\(path\)"):
            load_plan(self.engine(tmp_path, make_plan()), trusted=trusted)

    def test_check_says_what_it_is(self, tmp_path):
        with pytest.raises(NotAModel, match="is an Ultralytics engine"):
            first_look(self.engine(tmp_path, make_plan()))

    def test_it_is_cut_in_two(self, tmp_path):
        plan = make_plan()
        metadata, found = ultralytics_plan(self.engine(tmp_path, plan))
        assert metadata == {"stride": 32, "names": {"0": "thing"}}
        assert found == plan

    @pytest.mark.parametrize(
        ("text", "length", "message"),
        [
            (b"{}", 1 << 30, "no JSON text"),
            (b"[1, 2]", None, "no JSON text"),
            (b'{"a": ', None, "not an Ultralytics engine"),
            (b"{" * 9999, None, "not an Ultralytics engine"),
            (b"{}", 1, "no JSON text"),
            (b'{"a": 1}', 4000, "not an Ultralytics engine"),
        ],
    )
    def test_what_is_none(self, tmp_path, text, length, message):
        with pytest.raises(PlanDamaged, match=message):
            ultralytics_plan(self.engine(tmp_path, make_plan(), text, length))

    def test_a_terabyte_of_holes_behind_the_text(self, tmp_path):
        script = (
            "import sys; from pathlib import Path; from plan_fixtures import *; from helpers.plan import *\n"
            "path, plan = Path(sys.argv[1], 'a.engine'), bytearray(made_up(0))\n"
            "plan[16:24] = struct.pack('<Q', 1 << 40); text = b'{\"a\": 1}'\n"
            "path.write_bytes(struct.pack('<I', len(text)) + text + plan)\n"
            "os.truncate(path, 4 + len(text) + (1 << 40)); limit_memory()\n"
            "try: ultralytics_plan(path)\n"
            "except PlanError as error: print(type(error).__name__, error)"
        )
        said = in_a_child(script, tmp_path)
        assert said.startswith("PlanError ")
        assert "a.engine is 1,099,511,627,776 bytes long, and there is no memory" in said

    def test_no_plan_behind_the_text(self, tmp_path):
        with pytest.raises(PlanDamaged, match="behind its metadata, is empty"):
            ultralytics_plan(self.engine(tmp_path, b""))
        with pytest.raises(PlanDamaged, match="behind its metadata, is not a TensorRT plan"):
            ultralytics_plan(self.engine(tmp_path, bytes(100)))
        with pytest.raises(PlanNotFound):
            ultralytics_plan(tmp_path / "lost.engine")


def test_a_model_is_no_plan(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08\x09\x12\x07pytorch" + bytes(100))
    with pytest.raises(PlanDamaged, match=r"it may be an ONNX model, of which build_plan\(parse_onnx\(path\)\)"):
        load_plan(tmp_path / "m.onnx", trusted=True)


@pytest.mark.parametrize("wrong", [None, 3, b"bytes of a plan"])
def test_what_is_no_path(wrong):
    for call in (load_plan, read_sidecar, sidecar, ultralytics_plan, lambda path: save_plan(path, make_plan())):
        with pytest.raises(TypeError, match=f"give the path of a plan's file, not {type(wrong).__name__}"):
            call(wrong)


@pytest.mark.parametrize("wrong", [None, 3, ["plan"]])
def test_what_has_no_header(wrong):
    with pytest.raises(TypeError, match="a plan is a file or bytes, not"):
        read_header(wrong)


def test_bytes_of_a_plan_are_not_copied(plan):
    """It may have gigabytes."""
    assert plan_bytes(plan) is plan
    assert plan_bytes(bytearray(plan)) == plan
