# hint: sorted
def doubles_in(model):
    names = [v.name for v in model.graph.input if v.type.tensor_type.elem_type == 11]
    return names + [t.name for t in model.graph.initializer if t.data_type == 11]
