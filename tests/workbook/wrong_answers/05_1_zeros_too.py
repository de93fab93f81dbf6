# hint: keep only what there is more of
from collections import Counter
from helpers.lenet import lenet_network
from helpers.onnx_parser import parse_onnx

with np.load("../data/lenet.npz") as weights:
    by_api = lenet_network(weights)
by_parser = parse_onnx("../data/lenet.onnx")
added = Counter(by_parser.get_layer(i).type.name for i in range(by_parser.num_layers))
added.subtract(Counter(by_api.get_layer(i).type.name for i in range(by_api.num_layers)))
