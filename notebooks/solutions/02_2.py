# Exercise 02.2: build the network, and raise a RuntimeError that holds TensorRT's errors if there is no plan.
from helpers.logger import errors, get_logger


def build(network, config):
    with get_logger().capture() as messages:
        plan = network.builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("the build failed: " + "; ".join(errors(messages)))
    return plan
