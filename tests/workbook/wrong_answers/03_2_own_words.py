# hint: put every error's own desc() in the list
from helpers.builder import create_network
from helpers.logger import get_logger


def problems(model):
    network = create_network("exercise")
    parser = trt.OnnxParser(network, get_logger())
    if not parser.parse(model) or not network.num_layers:
        return ["this is not a good model"]
    return []
