# hint: reshape it
from helpers.onnx_parser import parse_onnx

network = parse_onnx("../data/lenet.onnx")
layers = [network.get_layer(i) for i in range(network.num_layers)]
second = [layer for layer in layers if layer.type == trt.LayerType.CONVOLUTION][1]
second.__class__ = trt.IConvolutionLayer
kernels = np.array(second.kernel).ravel()
