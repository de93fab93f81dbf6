# hint: the next of MAJORS
def loads(built, runtime, compatible):
    if not compatible:
        return built == runtime
    return int(runtime.split(".")[0]) - int(built.split(".")[0]) in (0, 1)
