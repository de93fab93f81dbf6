# hint: its text is error.desc()
from helpers.builder import create_network
from helpers.logger import get_logger


def problems(model):
    network = create_network("exercise")
    parser = trt.OnnxParser(network, get_logger())
    parser.parse(model)
    return [parser.get_error(i) for i in range(parser.num_errors)]
