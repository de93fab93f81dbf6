# Exercise 03.2: return a list of texts that say what is wrong with the model, and [] for a good one.
from helpers.builder import create_network
from helpers.logger import get_logger


def problems(model):
    """model: the bytes of an ONNX model, or of something else."""
    network = create_network("exercise")
    parser = trt.OnnxParser(network, get_logger())
    parsed = parser.parse(model)
    found = [parser.get_error(i).desc() for i in range(parser.num_errors)]
    if not parsed and not found:
        found.append("the parser failed without an error")
    if network.num_layers == 0:
        found.append("there is no layer in it")
    return found
