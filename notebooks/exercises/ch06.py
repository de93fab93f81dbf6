"""Specifications of the exercises of chapter 06, serialization."""

import hashlib
import tempfile
from pathlib import Path

from helpers.builder import build_plan, create_network
from helpers.trt import trt
from helpers.workbook.exercises import exercise, expect, started


def _plan(channels: int) -> bytes:
    network = create_network("exercise")
    x = network.add_input("x", trt.float32, (1, channels, 4, 4))
    network.mark_output(network.add_activation(x, trt.ActivationType.RELU).get_output(0))
    return build_plan(network)


@exercise(
    "06.1",
    "Read the total size out of a plan's header.",
    "A plan says in its header how long it is, so a truncated file can be found without a GPU.",
)
def total_size(function):
    plans = [_plan(channels) for channels in (1, 8)]
    got = [function(plan) for plan in plans]
    started(any(size is not None for size in got))
    sizes = [len(plan) for plan in plans]
    cut = function(plans[0][:100])
    expect(cut != 100, sizes[0], cut, "len() says how long the bytes are, not how long they should be: read the header")
    swapped = [int.from_bytes(plan[16:24], "big") for plan in plans]
    expect(got != swapped, sizes, got, "the bytes are little-endian: '<Q'")
    expect(got == sizes, sizes, got, "an unsigned 64-bit number at byte 16: struct.unpack_from('<Q', plan, 16)")
    large = plans[0][:16] + (5 << 30).to_bytes(8, "little") + plans[0][24:64]  # the header of a plan of 5 GiB
    expect(function(large) == 5 << 30, 5 << 30, function(large), "the number has 64 bits: '<Q', eight bytes")
    expect(cut == sizes[0], sizes[0], cut, "read the number from the header, whatever the length of the bytes")


@exercise(
    "06.2",
    "Write a load that notices a single flipped bit.",
    "A damaged weight loads and runs without any message. A checksum of your own is the only thing that finds it.",
)
def load(function):
    plan = _plan(4)
    digest = hashlib.sha256(plan).hexdigest()
    middle = len(plan) // 2
    flipped = plan[:middle] + bytes([plan[middle] ^ 1]) + plan[middle + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.plan"
        path.write_bytes(plan)
        good = function(path, digest)
        for name, content, hint in (
            ("a truncated plan", plan[:-1], "compare the checksum, and raise ValueError if it differs"),
            (
                "a plan with one flipped bit",
                flipped,
                "the size is still right: compare hashlib.sha256(plan).hexdigest()",
            ),
        ):
            path.write_bytes(content)
            try:
                answer = function(path, digest)
            except ValueError:
                continue
            started(not (good is None and answer is None))
            expect(False, f"ValueError for {name}", "no exception", hint)
    expect(good == plan, "the plan's bytes", type(good).__name__, "return the bytes when the checksum is right")
    expect(isinstance(good, bytes), "bytes", type(good).__name__, "path.read_bytes()")
