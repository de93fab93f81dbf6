# Exercise 08.2: which tensors will silently become float32?
import onnx


def doubles_in(model):
    """model: an onnx.ModelProto. Returns the sorted names of its inputs and initializers of type DOUBLE."""
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    types.update({tensor.name: tensor.data_type for tensor in model.graph.initializer})
    return sorted(name for name, kind in types.items() if kind == onnx.TensorProto.DOUBLE)
