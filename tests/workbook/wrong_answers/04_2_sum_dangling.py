# hint: return the output of add_elementwise
from helpers.builder import keep


def linear(network, x, weight, bias):
    matrix = network.add_constant(weight.shape, keep(network, weight)).get_output(0)
    product = network.add_matrix_multiply(x, trt.MatrixOperation.NONE, matrix, trt.MatrixOperation.TRANSPOSE)
    row = network.add_constant((1, len(bias)), keep(network, bias)).get_output(0)
    network.add_elementwise(product.get_output(0), row, trt.ElementWiseOperation.SUM)
    return product.get_output(0)
