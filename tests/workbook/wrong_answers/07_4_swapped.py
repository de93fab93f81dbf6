# hint: the two are swapped
def inputs_and_outputs(engine):
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    outputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    return [name for name in names if name not in outputs], outputs
