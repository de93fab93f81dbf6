# hint: collect the descriptions in a list
from helpers.builder import create_network
from helpers.logger import get_logger


def problems(model):
    network = create_network("exercise")
    return trt.OnnxParser(network, get_logger()).parse(model)
