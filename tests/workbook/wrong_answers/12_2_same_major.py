# hint: its very release only
def loads(built, runtime, compatible):
    return built.split(".")[0] == runtime.split(".")[0]
