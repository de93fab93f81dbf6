# hint: graph.initializer
import onnx


def doubles_in(model):
    return sorted(v.name for v in model.graph.input if v.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE)
