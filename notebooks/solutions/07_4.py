%%needs gpu
# Exercise 07.4: two lists of names: what the engine takes, and what it gives.
def inputs_and_outputs(engine):
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    return inputs, [name for name in names if name not in inputs]


check("07.4", engine, inputs_and_outputs)
