"""Specifications of the exercises of chapter 09, dynamic shapes."""

from helpers.workbook.exercises import exercise, expect, started


@exercise(
    "09.1",
    "Turn the shapes that came in into min, opt and max of a profile.",
    "A profile should be as narrow as the traffic allows, and fastest where most of it is.",
)
def profile_for(function):
    often = (1, 1, 64, 160)
    pages = [(1, 1, 32, 200), (2, 1, 100, 40), (1, 1, 32, 100), often, (1, 1, 32, 120), often, (1, 1, 32, 90)]
    answer = function(list(pages))
    started(answer is not None)
    expect(isinstance(answer, (tuple, list)) and len(answer) == 3, "(min, opt, max)", answer, "return the three shapes")
    low, best, high = (tuple(int(n) for n in shape) for shape in answer)
    expect(
        low != min(pages),
        (1, 1, 32, 40),
        low,
        "min() of tuples compares them like words: take each dimension by itself",
    )
    expect(low == (1, 1, 32, 40), (1, 1, 32, 40), low, "the smallest number in each dimension, over all shapes")
    expect(high == (2, 1, 100, 200), (2, 1, 100, 200), high, "the largest number in each dimension, over all shapes")
    expect(best == (1, 1, 64, 160), (1, 1, 64, 160), best, "opt is the most frequent shape: collections.Counter")


@exercise(
    "09.2",
    "Choose the profile for a shape.",
    "An engine does not choose among its profiles by itself: your program does, before it sets the shape.",
)
def choose(function):
    def shapes(*batches):
        return tuple((n, 1, 28, 28) for n in batches)

    profiles = [shapes(1, 64, 1024), shapes(1, 1, 8), shapes(9, 64, 128), shapes(100, 150, 200), shapes(5, 6, 7)]
    for batch, right in ((100, 2), (4, 1), (500, 0)):
        answer = function(list(profiles), (batch, 1, 28, 28))
        started(answer is not None)
        hint = (
            "every number from min to max has to fit; of all profiles that do, take the one with the smallest max batch"
        )
        expect(answer == right, f"profile {right} for batch {batch}", answer, hint)
    expect(
        function(profiles, (8, 1, 28, 28)) == 1, "profile 1 for batch 8", "another", "the limits belong to the range"
    )
    for outside in ((2000, 1, 28, 28), (4, 1, 32, 32), (4, 1, 16, 16)):
        try:
            answer = function(list(profiles), outside)
        except Exception as error:
            kind, text = type(error).__name__, str(error)
        else:
            expect(False, f"a ValueError for {outside}", answer, "every dimension has to fit, and none may: raise")
        expect(
            kind == "ValueError", "ValueError", f"{kind}: {text}", "min() of nothing raises something else: look first"
        )
        expect(str(outside[0]) in text, f"the shape {outside} in the text", text, "put the shape into the message")


@exercise(
    "09.3",
    "Write an output allocator that grows up to a limit.",
    "TensorRT asks for memory in the middle of a run. Reuse what is large enough, and refuse with 0, not an exception.",
)
def limited(kind):
    asked = []

    def allocate(nbytes):
        asked.append(nbytes)
        return 4096 * len(asked)

    allocator = kind(allocate, 1000)
    first = allocator.reallocate_output("found", 0, 160, 256)
    started(first is not None)
    expect(first == 4096, "what allocate(160) returned", first, "return the address from self.allocate(size)")
    again = allocator.reallocate_output("found", first, 100, 256)
    expect(asked == [160], "no new memory for 100 bytes", f"allocate was called {len(asked)} times", "160 were enough")
    expect(again == 4096, "the address from before", again, "return the address that you remembered")
    more = allocator.reallocate_output("found", first, 640, 256)
    expect(more == 8192, "new memory for 640 bytes", more, "160 are not enough: allocate anew")
    kept = allocator.reallocate_output("found", more, 600, 256)
    expect(kept == 8192 and len(asked) == 2, "the memory of 640", kept, "remember the capacity along with the address")
    try:
        refused = allocator.reallocate_output("found", more, 1001, 256)
    except Exception as error:
        expect(False, "0", type(error).__name__, "TensorRT swallows exceptions from callbacks: return 0")
    expect(refused == 0, "0 for 1001 bytes", refused, "the limit is 1000 bytes: return 0 above it")
    expect(asked == [160, 640], "no allocation above the limit", asked, "compare with the limit before you allocate")
    exact = kind(allocate, 1000).reallocate_output("found", 0, 1000, 256)
    expect(exact, "memory for exactly 1000 bytes", exact, "the limit itself is allowed")
