# hint: add_elementwise
from helpers.builder import keep


def linear(network, x, weight, bias):
    matrix = network.add_constant(weight.shape, keep(network, weight)).get_output(0)
    product = network.add_matrix_multiply(x, trt.MatrixOperation.NONE, matrix, trt.MatrixOperation.TRANSPOSE)
    return product.get_output(0)
