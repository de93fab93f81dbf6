# Exercise 12.2: may this plan be loaded there, on the same GPU?
MAJORS = [8, 10, 11]


def loads(built, runtime, compatible):
    """built, runtime: TensorRT versions such as "8.6.1"; compatible: whether VERSION_COMPATIBLE was set."""
    built, runtime = ([int(part) for part in version.split(".")] for version in (built, runtime))
    if not compatible:
        return built == runtime
    steps = MAJORS.index(runtime[0]) - MAJORS.index(built[0])
    return runtime >= built and steps <= 1
