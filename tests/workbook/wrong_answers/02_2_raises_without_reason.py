# hint: put the errors into the exception
from helpers.logger import errors, get_logger


def build(network, config):
    plan = network.builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("the build failed")
    return plan
