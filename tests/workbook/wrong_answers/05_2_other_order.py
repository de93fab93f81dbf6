# hint: the order is
from helpers.onnx_parser import parse_onnx

network = parse_onnx("../data/lenet.onnx")
layers = [network.get_layer(i) for i in range(network.num_layers)]
second = [layer for layer in layers if layer.type == trt.LayerType.CONVOLUTION][1]
second.__class__ = trt.IConvolutionLayer
kernels = np.array(second.kernel).reshape(16, 32, 5, 5).transpose(1, 0, 2, 3)
