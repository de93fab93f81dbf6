"""From a plan to an engine: what is asked before a runtime, which is pretended here, gets to see a plan."""

import struct

import pytest

from helpers import trust
from helpers.engine import EngineError, load_engine, runtime
from helpers.logger import get_logger
from helpers.plan import PlanDamaged, PlanNotFound, PlanUntrusted, save_plan
from helpers.trt import FLAVOUR, VERSION, MissingCapability, trt


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(trust, "_warned", set())


class PretendedRuntime:
    """Notes what it is asked to deserialize, and makes an engine of it, or says in the log why it does not."""

    def __init__(self):
        self.seen, self.complaint = [], None

    def deserialize_cuda_engine(self, plan):
        self.seen.append(plan)
        if self.complaint is None:
            return "an engine"
        return get_logger().log(trt.ILogger.Severity.ERROR, self.complaint)


@pytest.fixture
def pretended(monkeypatch):
    made = PretendedRuntime()
    monkeypatch.setattr("helpers.engine.runtime", lambda: made)
    return made


def make_plan(content: bytes = b"kernels and weights") -> bytes:
    """Bytes with the header of a plan of this TensorRT. No runtime could use them."""
    magic = b"vtrt" if FLAVOUR == "tensorrt_rtx" else b"ftrt"
    version = bytes(int(part) for part in VERSION.split(".")[:3])
    return (magic + bytes(12) + struct.pack("<Q", 64 + len(content)) + version).ljust(64, b"\0") + content


def test_bytes_that_were_not_built_here_are_refused_before_the_runtime_sees_them(pretended):
    for plan in (make_plan(), bytearray(make_plan()), memoryview(make_plan())):
        with pytest.raises(PlanUntrusted, match="say trusted=True if you know its source"):
            load_engine(plan)
        with pytest.raises(PlanUntrusted):
            load_engine(plan, trusted=False)
    assert pretended.seen == []


def test_bytes_that_somebody_answers_for_go_through(pretended):
    plan = make_plan()
    assert load_engine(plan, trusted=True) == "an engine"
    assert load_engine(memoryview(plan), trusted=True) == "an engine"
    assert pretended.seen == [plan, plan]
    with pytest.raises(PlanUntrusted):
        load_engine(plan)


def test_bytes_that_were_built_here_go_through_to_the_byte(pretended):
    plan = make_plan()
    trust.remember(plan)
    assert load_engine(plan) == "an engine"
    assert load_engine(bytearray(plan)) == "an engine"
    with pytest.raises(PlanUntrusted):
        load_engine(plan[:-1] + b"S")
    trust.forget(plan)
    with pytest.raises(PlanUntrusted):
        load_engine(plan)
    assert pretended.seen == [plan, plan]


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda plan: b"", "the plan is empty"),
        (lambda plan: b"<html>" + plan, "the plan is not a TensorRT plan: it begins with b'<html>"),
        (lambda plan: plan[:20], "the plan is cut off within its header"),
        (lambda plan: plan[:-1], "the plan is 82 bytes long, but its header says 83"),
        (lambda plan: plan + b"!", "the plan is 84 bytes long, but its header says 83"),
    ],
)
def test_bytes_that_are_no_plan_are_named(pretended, spoil, message, trusted):
    spoilt = spoil(make_plan())
    trust.remember(spoilt)
    with pytest.raises(PlanDamaged, match=message):
        load_engine(spoilt, trusted=trusted)
    assert pretended.seen == []


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize(
    ("wrong", "message"), [(None, "plan is None: the build"), (83, "not int"), ([1, 2], "not list"), ({}, "not dict")]
)
def test_what_can_be_no_plan_is_a_type_error(pretended, wrong, message, trusted):
    with pytest.raises(TypeError, match=message):
        load_engine(wrong, trusted=trusted)
    assert pretended.seen == []


def test_a_file_is_checked_as_a_file(pretended, tmp_path):
    plan, path = make_plan(), tmp_path / "a.plan"
    save_plan(path, plan)
    for name in (path, str(path)):
        with pytest.raises(PlanUntrusted, match="a.plan is not in your list"):
            load_engine(name)
        assert load_engine(name, trusted=True) == "an engine"
    trust.remember(plan)
    assert load_engine(path) == "an engine"
    assert pretended.seen == [plan] * 3
    path.write_bytes(plan[:-1] + b"S")
    for trusted in (False, True):
        with pytest.raises(PlanDamaged, match="its SHA-256 differs"):
            load_engine(path, trusted=trusted)
    with pytest.raises(PlanNotFound):
        load_engine(tmp_path / "b.plan", trusted=True)
    assert len(pretended.seen) == 3


def test_a_plan_that_the_runtime_refuses_is_an_error_with_its_log(pretended, tmp_path):
    get_logger().log(trt.ILogger.Severity.ERROR, "what went wrong before")
    pretended.complaint = "the platform does not fit"
    with pytest.raises(
        EngineError, match="^the plan could not be deserialized\n  .*the platform does not fit"
    ) as caught:
        load_engine(make_plan(), trusted=True)
    assert [message.text for message in caught.value.messages] == ["the platform does not fit"]
    save_plan(tmp_path / "a.plan", make_plan())
    with pytest.raises(EngineError, match=r"a\.plan could not be deserialized"):
        load_engine(tmp_path / "a.plan", trusted=True)
    pretended.complaint = "getPluginCreator could not find plugin: Mine version: 3"
    with pytest.raises(EngineError, match=r"there is no plugin 'Mine', version 3: (?s:.*)\n  TRT\d+: "):
        load_engine(make_plan(), trusted=True)
    pretended.deserialize_cuda_engine = lambda plan: None
    with pytest.raises(EngineError, match="TensorRT logged no error"):
        load_engine(make_plan(), trusted=True)


def test_the_runtime_is_made_once_and_only_where_there_is_a_gpu(monkeypatch):
    class Runtime:
        def __init__(self, logger):
            self.logger, self.engine_host_code_allowed = logger, False

    monkeypatch.setattr("helpers.engine.trt", type("trt", (), {"Runtime": Runtime}))
    asked = []
    monkeypatch.setattr("helpers.engine.require", asked.append)
    runtime.cache_clear()
    try:
        made = runtime()
        assert made is runtime()
        assert made.logger is get_logger()
        assert made.engine_host_code_allowed is True, "version-compatible plans carry host code"
        assert asked == ["gpu"]

        def refuse(capability):
            raise MissingCapability("there is no GPU")

        runtime.cache_clear()
        monkeypatch.setattr("helpers.engine.require", refuse)
        monkeypatch.setattr(Runtime, "__init__", None)
        with pytest.raises(MissingCapability):
            load_engine(make_plan(), trusted=True)
    finally:
        runtime.cache_clear()
