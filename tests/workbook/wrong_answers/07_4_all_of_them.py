# hint: ask engine.get_tensor_mode
def inputs_and_outputs(engine):
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    return names, names
