# hint: give the bias the shape
from helpers.builder import keep


def linear(network, x, weight, bias):
    matrix = network.add_constant(weight.shape, keep(network, weight)).get_output(0)
    product = network.add_matrix_multiply(x, trt.MatrixOperation.NONE, matrix, trt.MatrixOperation.TRANSPOSE)
    row = network.add_constant((len(bias), 1), keep(network, bias)).get_output(0)
    return network.add_elementwise(product.get_output(0), row, trt.ElementWiseOperation.SUM).get_output(0)
