# hint: the nodes still read
def rename(model, names):
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
