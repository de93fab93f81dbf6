# hint: change both
def rename(model, names):
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        if node.input[0] == "input.1":
            node.input[0] = names["input.1"]
        node.output[0] = names.get(node.output[0], node.output[0])
