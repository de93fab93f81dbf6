"""Plans as files: what is saved comes back, and every refusal by its message."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from helpers import atomic, trust
from helpers.builder import BuildOptions, build_plan, create_network
from helpers.plan import (
    PlanDamaged,
    PlanMismatch,
    PlanUntrusted,
    load_plan,
    read_header,
    save_plan,
    sidecar,
)
from helpers.trt import FLAVOUR, VERSION, has, trt

pytestmark = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")


def relu(width=4, **options):
    network = create_network("relu")
    x = network.add_input("x", trt.float32, (1, width))
    network.mark_output(network.add_activation(x, trt.ActivationType.RELU).get_output(0))
    return build_plan(network, **options)


@pytest.fixture(autouse=True)
def own_list(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "state"))


@pytest.fixture
def plan(own_list):
    return relu()


@pytest.fixture
def path(tmp_path, plan):
    path = tmp_path / "plans" / "relu.plan"
    save_plan(path, plan)
    return path


def test_what_is_saved_comes_back(path, plan):
    assert load_plan(path) == plan
    assert load_plan(str(path)) == plan


def test_the_sidecar_says_what_the_plan_is(tmp_path, plan):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"a model")
    info = save_plan(tmp_path / "a.plan", plan, source=model, options=BuildOptions(flags=("TF32",)))
    assert (info.flavour, info.version, info.size) == (FLAVOUR, VERSION, len(plan))
    assert info.sha256 == trust.sha256(plan)
    assert (info.source, info.source_sha256) == ("model.onnx", trust.sha256(b"a model"))
    stored = json.loads(sidecar(tmp_path / "a.plan").read_text())
    assert stored["options"]["flags"] == ["TF32"]
    assert set(stored) == {field.name for field in dataclasses.fields(info)}
    assert load_plan(tmp_path / "a.plan", source=model) == plan


def test_the_header_needs_no_gpu(path, plan):
    header = read_header(plan)
    assert header == read_header(path)
    assert header.flavour == FLAVOUR
    assert header.size == len(plan)
    assert header.version.split(".")[:2] == VERSION.split(".")[:2]


@pytest.mark.skipif(not has("ahead_of_time"), reason="only RTX plans have targets")
@pytest.mark.parametrize("targets", [("SM75",), ("SM80", "SM86"), ("SM89", "SM120", "SM121")])
def test_the_header_names_the_targets(targets):
    assert read_header(relu(targets=targets)).targets == targets


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: b"", "0 bytes long, too short"),
        (lambda p: b"short", "5 bytes long, too short"),
        (lambda p: p[:100], "100 bytes long but says"),
        (lambda p: p[:-1], "but says"),
        (lambda p: p + b"x", "but says"),
        (
            lambda p: b"<!DOCTYPE html><html><body>not found</body></html>",
            "is not a TensorRT plan: it begins with b'<!DO'",
        ),
        (lambda p: bytes(len(p)), "is not a TensorRT plan"),
        (lambda p: b"\x80\x04" + p[2:], "is not a TensorRT plan"),
    ],
)
def test_what_is_no_plan(path, plan, damage, message):
    path.write_bytes(damage(plan))
    for read in (lambda: load_plan(path), lambda: load_plan(path, trusted=True), lambda: read_header(damage(plan))):
        with pytest.raises(PlanDamaged, match=message):
            read()


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
def test_one_flipped_bit_is_found(path, plan, where):
    damaged = bytearray(plan)
    damaged[int(where * len(plan))] ^= 1
    path.write_bytes(damaged)
    assert read_header(path).size == len(plan)
    with pytest.raises(PlanDamaged, match="SHA-256"):
        load_plan(path)


def test_a_missing_plan(tmp_path):
    with pytest.raises(FileNotFoundError, match="no plan"):
        load_plan(tmp_path / "nowhere.plan")


def test_a_missing_sidecar(path, plan):
    sidecar(path).unlink()
    with pytest.raises(PlanDamaged, match="relu.plan.json"):
        load_plan(path)
    assert load_plan(path, trusted=True) == plan


@pytest.mark.parametrize("content", ["", "not json", "[]", "{}", '{"flavour": "tensorrt"}', '{"targets": 5}'])
def test_a_sidecar_that_is_none(path, content):
    sidecar(path).write_text(content)
    for trusted in (False, True):
        with pytest.raises(PlanDamaged, match="is not the sidecar of a plan"):
            load_plan(path, trusted=trusted)


def test_another_flavour_is_named(path, plan):
    other = b"ftrt" if plan[:4] == b"vtrt" else b"vtrt"
    path.write_bytes(other + plan[4:])
    sidecar(path).unlink()
    with pytest.raises(PlanMismatch, match="its flavour is tensorrt.*build it again") as error:
        load_plan(path, trusted=True)
    assert error.value.field == "flavour"


def test_another_version_is_named(path, plan):
    forged = bytearray(plan)
    forged[24] += 1
    path.write_bytes(forged)
    sidecar(path).unlink()
    with pytest.raises(PlanMismatch, match="its TensorRT version is") as error:
        load_plan(path, trusted=True)
    assert error.value.here == VERSION


def test_a_sidecar_of_another_gpu_is_named(path, monkeypatch):
    from helpers import plan as module
    from helpers.device import Gpu

    if read_header(path).targets:
        monkeypatch.setattr(module, "gpus", lambda: (Gpu("some GPU", (9, 0), 1 << 30),))
        expected = "its targets is .*SM86.*, but here it is SM90"
    else:
        fields = json.loads(sidecar(path).read_text()) | {"compute_capability": "7.0"}
        sidecar(path).write_text(json.dumps(fields))
        expected = "its compute capability is 7.0"
    with pytest.raises(PlanMismatch, match=expected):
        load_plan(path)


def test_a_changed_model_is_noticed(tmp_path, plan):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"one")
    save_plan(tmp_path / "a.plan", plan, source=model)
    model.write_bytes(b"two")
    with pytest.raises(PlanMismatch, match="source model.onnx"):
        load_plan(tmp_path / "a.plan", source=model)


def test_a_plan_from_elsewhere_is_refused_even_with_a_forged_sidecar(path, plan):
    stranger = plan[:-1] + bytes([plan[-1] ^ 1])
    save_plan(path, stranger)  # an honest-looking sidecar, with the right checksum
    with pytest.raises(PlanUntrusted, match="executable code"):
        load_plan(path)
    assert load_plan(path, trusted=True) == stranger


@pytest.mark.parametrize("nothing", [None, b"", b"not a plan at all, but long enough to have a header"])
def test_what_is_no_plan_is_not_saved(tmp_path, nothing):
    with pytest.raises((TypeError, PlanDamaged)):
        save_plan(tmp_path / "a.plan", nothing)
    assert not list(tmp_path.glob("a.plan*"))


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failure_leaves_the_old_plan_and_nothing_else(path, plan, monkeypatch, function):
    def no_space(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, function, no_space)
    with pytest.raises(OSError, match="No space"):
        save_plan(path, relu(width=8))
    monkeypatch.undo()
    assert path.read_bytes() == plan
    assert sorted(file.name for file in path.parent.iterdir()) == ["relu.plan", "relu.plan.json"]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"old")
    code = f"""
        import os, signal
        from helpers import atomic
        atomic.os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
        atomic.write_atomically({str(file)!r}, b"new" * 1000)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=60)
    assert result.returncode == -signal.SIGKILL
    assert file.read_bytes() == b"old"


def test_killed_between_plan_and_sidecar_is_noticed(path):
    path.write_bytes(relu(width=8))  # the new plan is there, the sidecar still the old one's
    with pytest.raises(PlanDamaged, match="SHA-256"):
        load_plan(path)


class TestTrust:
    def test_only_what_was_built_here(self, plan):
        assert trust.is_trusted(plan)
        assert not trust.is_trusted(plan + b"x")
        trust.forget(plan)
        assert not trust.is_trusted(plan)

    def test_a_plan_is_noted_once(self, plan):
        before = trust.path().read_text()
        trust.remember(plan)
        assert trust.path().read_text() == before

    @pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
    def test_the_list_belongs_to_the_user(self, plan):
        assert trust.path().stat().st_mode & 0o777 == 0o600
        assert trust.path().parent.stat().st_mode & 0o777 == 0o700

    def test_it_lies_outside_the_project(self, monkeypatch):
        monkeypatch.delenv("WORKBOOK_STATE")
        assert os.getcwd() not in str(trust.path())

    def test_a_list_that_cannot_be_written_does_not_lose_the_build(self, monkeypatch, tmp_path, caplog):
        (tmp_path / "file").write_text("not a folder")
        monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "file" / "folder"))
        plan = relu()
        assert len(plan) > 100
        assert "could not be noted" in caplog.text
        assert not trust.is_trusted(plan)

    def test_many_processes_at_once(self, tmp_path):
        code = "from helpers import trust\nfor i in range(50): trust.remember(f'{NUMBER} {i}'.encode())"
        children = [
            subprocess.Popen([sys.executable, "-c", code.replace("NUMBER", str(number))]) for number in range(4)
        ]
        assert [child.wait(60) for child in children] == [0] * 4
        lines = trust.path().read_text().splitlines()
        assert len(lines) == 200
        assert {len(line) for line in lines} == {64}
