"""Written for the tests in the manner of TensorRT 5 to 7: network API, UFF, Caffe. ``# port:`` marks what is old."""

import graphsurgeon as gs  # port: graphsurgeon
import numpy as np
import tensorrt as trt
import tensorrt.legacy  # noqa: F401  # port: tensorrt.legacy
import uff  # port: uff
from tensorrt import OnnxParser, UffParser  # port: UffParser
from tensorrt.parsers import caffeparser  # noqa: F401  # port: tensorrt.parsers

WEIGHTS = {}
LOGGER = trt.infer.ConsoleLogger(trt.infer.LogSeverity.ERROR)  # port: tensorrt.infer


class ModelData:
    DTYPE = trt.float32


def populate_network(network, weights):
    image = network.add_input(name="data", dtype=ModelData.DTYPE, shape=(1, 28, 28))
    conv1 = network.add_convolution(image, 20, (5, 5), weights["k1"], weights["b1"])  # port: add_convolution
    conv1.stride = (1, 1)  # port: IConvolutionLayer.stride
    conv1.padding = (0, 0)  # port: IConvolutionLayer.padding
    pool1 = network.add_pooling(conv1.get_output(0), trt.PoolingType.MAX, (2, 2))  # port: add_pooling
    pool1.stride = (2, 2)  # port: IPoolingLayer.stride
    padded = network.add_padding(pool1.get_output(0), (1, 1), (1, 1))  # port: add_padding
    kernel, bias = weights["k2"], weights["b2"]
    fc1 = network.add_fully_connected(padded.get_output(0), 500, kernel, bias)  # port: add_fully_connected
    rnn = network.add_rnn_v2(fc1.get_output(0), 1, 10, 5, trt.RNNOperation.LSTM)  # port: add_rnn_v2, RNNOperation
    quantized = network.add_quantize(rnn.get_output(0), weights["scale"])  # port: add_quantize
    relu = network.add_activation(input=quantized.get_output(0), type=trt.ActivationType.RELU)
    relu.get_output(0).name = "prob"
    network.mark_output(tensor=relu.get_output(0))


def build_by_hand():
    builder = trt.Builder(LOGGER)
    network = builder.create_network(1 << 1)  # port: create_network(1 << 1)
    populate_network(network, WEIGHTS)
    builder.average_find_iterations = 4  # port: average_find_iterations
    builder.debug_sync = True  # port: debug_sync
    engine = builder.build_engine(network, builder.create_builder_config())  # port: build_engine
    if engine.is_shape_binding(0) or engine.get_location(1):  # port: is_shape_binding, get_location
        print(engine.device_memory_size)  # port: device_memory_size
    return engine


def from_uff(path):
    with trt.Builder(LOGGER) as builder, builder.create_network() as network:  # port: with B, with INet
        parser = UffParser()
        parser.register_input("in", (1, 28, 28), trt.UffInputOrder.NCHW)  # port: register_input, UffInputOrder
        parser.register_output("out")  # port: register_output
        parser.parse(path, network)  # port: UffParser.parse
        caffe = trt.CaffeParser()  # port: CaffeParser
        tensors = caffe.parse(deploy="d", model="m", network=network, dtype=trt.float32)  # port: CaffeParser.parse
        network.mark_output(tensors.find("prob"))  # port: IBlobNameToTensor.find
        return builder.build_cuda_engine(network)  # port: build_cuda_engine


def guarded(builder, config, engine):
    if hasattr(config, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 20)
    else:
        config.max_workspace_size = 1 << 20
    old = int(trt.__version__.split(".")[0]) < 10
    count = engine.num_bindings if old else engine.num_io_tensors
    return count, gs.StaticGraph(path="x"), uff.from_tensorflow, np.prod(count), OnnxParser


def runtime_things(selector):
    config = trt.Builder(LOGGER).create_builder_config()
    config.algorithm_selector = selector  # port: algorithm_selector
    config.set_calibration_profile(None)  # port: set_calibration_profile
    config.profiling_verbosity = trt.ProfilingVerbosity.VERBOSE  # port: ProfilingVerbosity.VERBOSE
    for creator in trt.get_plugin_registry().plugin_creator_list:  # port: plugin_creator_list
        print(creator.name)
    print(OnnxParser(None, LOGGER).supports_model(b""))  # port: supports_model
