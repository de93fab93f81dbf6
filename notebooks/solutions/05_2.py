# Exercise 05.2: the kernels of the second convolution of the parsed network, as an array (out, in, height, width).
from helpers.onnx_parser import parse_onnx

network = parse_onnx("../data/lenet.onnx")
layers = [network.get_layer(i) for i in range(network.num_layers)]
second = [layer for layer in layers if layer.type == trt.LayerType.CONVOLUTION][1]
second.__class__ = trt.IConvolutionLayer
kernels = np.array(second.kernel).reshape(32, 16, 5, 5)
