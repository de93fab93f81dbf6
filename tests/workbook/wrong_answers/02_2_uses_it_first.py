# hint: raise RuntimeError yourself
from helpers.logger import errors, get_logger


def build(network, config):
    plan = network.builder.build_serialized_network(network, config)
    return bytes(memoryview(plan))
