# hint: never back
def loads(built, runtime, compatible):
    majors = [8, 10, 11]
    if not compatible:
        return built == runtime
    return abs(majors.index(int(runtime.split(".")[0])) - majors.index(int(built.split(".")[0]))) <= 1
