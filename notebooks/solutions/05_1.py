# Exercise 05.1: which kinds of layers did the parser add, and how many of each? As a dict like {"SHUFFLE": 2}.
from collections import Counter
from helpers.lenet import lenet_network
from helpers.onnx_parser import parse_onnx

with np.load("../data/lenet.npz") as arrays:
    by_api = lenet_network(arrays)
by_parser = parse_onnx("../data/lenet.onnx")
kinds = [Counter(n.get_layer(i).type.name for i in range(n.num_layers)) for n in (by_parser, by_api)]
added = kinds[0] - kinds[1]
