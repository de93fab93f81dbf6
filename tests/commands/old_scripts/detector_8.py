"""Written for the tests in the manner of TensorRT 8: a detector as a class. ``# port:`` marks what is old."""

import ctypes
from collections import OrderedDict, namedtuple

import tensorrt
import torch

Binding = namedtuple("Binding", ("name", "dtype", "shape", "data", "ptr"))


class Config:
    max_workspace_size = 4  # not TensorRT's
    fp16_mode = True


class Detector:
    def __init__(self, path, cfg=None):
        cfg = cfg or Config()
        self.logger = tensorrt.Logger(tensorrt.Logger.INFO)
        tensorrt.init_libnvinfer_plugins(self.logger, namespace="")
        self.max_workspace_size = cfg.max_workspace_size
        self.model = self._load(path)
        self.context = self.model.create_execution_context()
        self.bindings = OrderedDict()
        for index in range(self.model.num_bindings):  # port: num_bindings
            name = self.model.get_binding_name(index)  # port: get_binding_name
            dtype = tensorrt.nptype(self.model.get_binding_dtype(index))  # port: get_binding_dtype
            shape = self.model.get_binding_shape(index)  # port: get_binding_shape
            if self.model.binding_is_input(index) and -1 in shape:  # port: binding_is_input
                shapes = self.model.get_profile_shape(0, index)  # port: get_profile_shape
                self.context.set_binding_shape(index, shapes[2])  # port: set_binding_shape
            shape = tuple(self.context.get_binding_shape(index))  # port: get_binding_shape
            data = torch.zeros(shape).cuda()
            self.bindings[name] = Binding(name, dtype, shape, data, data.data_ptr())
        self.context.active_optimization_profile = 0  # port: active_optimization_profile =
        self.batch_size = self.bindings["images"].shape[0]

    def _load(self, path):
        with open(path, "rb") as f:
            runtime = tensorrt.Runtime(self.logger)
            return runtime.deserialize_cuda_engine(f.read())

    def __call__(self, image):
        position = self.model.get_binding_index("images")  # port: get_binding_index
        addresses = [binding.ptr for binding in self.bindings.values()]
        addresses[position] = image.data_ptr()
        self.context.execute_async_v2(addresses, torch.cuda.current_stream().cuda_stream)  # port: execute_async_v2
        if self.model.has_implicit_batch_dimension:  # port: has_implicit_batch_dimension
            self.context.execute(self.batch_size, addresses)  # port: IExecutionContext.execute
        return self.bindings["output"].data, self.model["output"], len(self.model)  # port: engine[name], len(engine)


def export(onnx_file, calibrator, half=True, names=None):
    logger = tensorrt.Logger()
    builder = tensorrt.Builder(logger)
    config = builder.create_builder_config()
    config.max_workspace_size = 4 << 30  # port: max_workspace_size
    config.flags |= 1 << int(tensorrt.BuilderFlag.STRICT_TYPES)  # port: STRICT_TYPES
    creation = tensorrt.NetworkDefinitionCreationFlag
    flag = 1 << creation.EXPLICIT_BATCH  # port: 1 << NetworkDefinitionCreationFlag, EXPLICIT_BATCH
    network = builder.create_network(flag)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx_file)):
        raise RuntimeError(f"failed to load {onnx_file}")
    if builder.platform_has_fast_fp16 and half:  # port: platform_has_fast_fp16
        config.set_flag(tensorrt.BuilderFlag.FP16)  # port: BuilderFlag.FP16
    config.set_flag(tensorrt.BuilderFlag.INT8)  # port: BuilderFlag.INT8
    config.int8_calibrator = calibrator  # port: int8_calibrator
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        layer.precision = tensorrt.float32  # port: ILayer.precision
        layer.set_output_type(0, tensorrt.float32)  # port: set_output_type
        layer.get_output(0).dynamic_range = (-1.0, 1.0)  # port: dynamic_range
    config.min_timing_iterations = 2  # port: min_timing_iterations
    config.set_tactic_sources(1 << int(tensorrt.TacticSource.CUBLAS))  # port: TacticSource.CUBLAS
    config.engine_capability = tensorrt.EngineCapability.DEFAULT  # port: EngineCapability.DEFAULT
    with builder.build_engine(network, config) as engine:  # port: build_engine, with ICudaEngine
        return bytes(engine.serialize())


def not_tensorrt(database, args):
    database.execute("select 1")
    args.max_workspace_size = ctypes.c_int(3)
    return args.fp16_mode, [binding.name for binding in args.engines]
