"""Specifications of the exercises of chapter 12, versions."""

from helpers.builder import create_network
from helpers.trt import trt
from helpers.workbook.exercises import exercise, expect, started


def expect_answers(name, function, cases):
    """``cases``: arguments, then the right answer and a hint for those who give the other."""
    answers = [function(*arguments) for *arguments, _, _ in cases]
    started(any(answer is not None for answer in answers))
    for (*arguments, right, hint), answer in zip(cases, answers, strict=True):
        asked = f"{name}({', '.join(map(repr, arguments))})"
        expect(bool(answer) == right, f"{asked} is {right}", answer, hint)


@exercise(
    "12.1",
    "Say whether a name was there in a certain release.",
    "Versions are numbers and not text: '10.0' < '8.6' is True for Python, and has broken many a script.",
)
def lived_in(function):
    cases = [
        ("8.6.1", "8.5.1", "", True, "gone is '' for a name that is still there"),
        ("8.4.3", "8.5.1", "", False, "it came after this release"),
        ("8.6.1", "<=5.1.5", "10.0.0", True, "as text '8.6.1' comes after '10.0.0': compare tuples of integers"),
        ("10.16.1", "<=5.1.5", "10.0.0", False, "it was gone by then"),
        ("10.0.0", "6.0.1", "10.0.0", False, "gone is the first release without the name"),
        ("8.5.1", "8.5.1", "", True, "came is the first release with the name"),
        ("11.4.0", "10.6.0", "", True, "as text '11.4.0' and '10.6.0' compare well, but by luck"),
        ("10.13.0", "10.6.0", "", True, "13 comes after 6: compare tuples of integers"),
    ]
    expect_answers("lived_in", function, cases)


@exercise(
    "12.2",
    "Say whether a runtime may load a plan.",
    "An ordinary plan needs its very release. A compatible one goes up to the next major release, and never back.",
)
def loads(function):
    cases = [
        ("8.6.1", "8.6.1", False, True, "its own release loads an ordinary plan"),
        ("8.5.1", "8.5.3", False, False, "an ordinary plan fits its very release only, patch included"),
        ("8.6.1", "10.16.1", False, False, "an ordinary plan fits its very release only"),
        ("8.6.1", "8.6.1", True, True, "its own release loads a compatible plan too"),
        ("8.6.1", "10.16.1", True, True, "10 is the next of MAJORS after 8: there is no 9 in it"),
        ("10.13.2", "10.16.1", True, True, "a later release of the same major one"),
        ("10.16.1", "10.13.2", True, False, "never back: the runtime must not be older than the plan"),
        ("8.6.1", "11.4.0", True, False, "11 is two steps after 8"),
        ("10.3.0", "11.1.0", True, True, "11 is the next of MAJORS after 10, whatever the minor version"),
        ("11.1.0", "10.16.1", True, False, "never back: the runtime must not be older than the plan"),
        ("10.9.0", "10.10.0", True, True, "compare numbers: as text '10.9.0' comes after '10.10.0'"),
    ]
    expect_answers("loads", function, cases)


@exercise(
    "12.3",
    "Port a function that limits the workspace.",
    "One old property became one of several memory pools: the limit is in bytes, and belongs to the config.",
)
def config_with(function):
    network = create_network("exercise")
    builder = network.builder
    pool = trt.MemoryPoolType.WORKSPACE
    untouched = builder.create_builder_config().get_memory_pool_limit(pool)
    try:
        config = function(builder, 64)
    except AttributeError as error:
        expect(False, "64 MiB of workspace", f"AttributeError: {error}", "max_workspace_size is gone: ask whatis")
    expect(config is not None, "an IBuilderConfig", config, "return the config")
    got = config.get_memory_pool_limit(pool)
    started(got != untouched)
    expect(got != 64, 64 << 20, got, "the limit is in bytes: megabytes << 20")
    expect(got != 64 * 10**6, 64 << 20, got, "a MiB is 2**20 bytes: megabytes << 20")
    expect(got == 64 << 20, 64 << 20, got, "config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, …)")
    got = function(builder, 3).get_memory_pool_limit(pool)
    expect(got == 3 << 20, 3 << 20, got, "use the argument megabytes")
