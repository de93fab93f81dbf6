# Exercise 13.4: align the names of an exported model with those that your program uses.
def rename(model, names):
    """model: an onnx.ModelProto, changed in place. names: new names by old ones, such as {"input.1": "images"}.
    Inputs, outputs and all nodes that read or write these tensors have the new names afterwards."""
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        for field in (node.input, node.output):
            for place, name in enumerate(field):
                field[place] = names.get(name, name)
