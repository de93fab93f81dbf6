# Exercise 04.2: x @ weight.T + bias, with the weights as PyTorch keeps them.
from helpers.builder import keep


def linear(network, x, weight, bias):
    """x: an ITensor (N, in); weight: float32 (out, in); bias: float32 (out,). Returns an ITensor (N, out)."""
    matrix = network.add_constant(weight.shape, keep(network, weight)).get_output(0)
    product = network.add_matrix_multiply(x, trt.MatrixOperation.NONE, matrix, trt.MatrixOperation.TRANSPOSE)
    row = network.add_constant((1, len(bias)), keep(network, bias)).get_output(0)
    total = network.add_elementwise(product.get_output(0), row, trt.ElementWiseOperation.SUM)
    return total.get_output(0)
