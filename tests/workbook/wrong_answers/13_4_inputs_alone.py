# hint: outputs have names too
def rename(model, names):
    for value in model.graph.input:
        value.name = names.get(value.name, value.name)
