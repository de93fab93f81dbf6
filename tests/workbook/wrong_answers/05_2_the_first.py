# hint: that is the first convolution
from helpers.onnx_parser import parse_onnx

network = parse_onnx("../data/lenet.onnx")
layers = [network.get_layer(i) for i in range(network.num_layers)]
first = [layer for layer in layers if layer.type == trt.LayerType.CONVOLUTION][0]
first.__class__ = trt.IConvolutionLayer
kernels = np.array(first.kernel).reshape(16, 1, 5, 5)
