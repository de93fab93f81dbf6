# hint: subtract the layers
from collections import Counter
from helpers.onnx_parser import parse_onnx

by_parser = parse_onnx("../data/lenet.onnx")
added = Counter(by_parser.get_layer(i).type.name for i in range(by_parser.num_layers))
