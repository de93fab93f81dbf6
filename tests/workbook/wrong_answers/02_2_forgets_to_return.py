# hint: return the plan
from helpers.logger import errors, get_logger


def build(network, config):
    with get_logger().capture() as messages:
        plan = network.builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("; ".join(errors(messages)))
