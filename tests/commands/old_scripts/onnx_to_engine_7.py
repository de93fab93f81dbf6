"""Written for the tests in the manner of TensorRT 7: from ONNX to a run. ``# port:`` marks what is old."""

import argparse

import numpy as np
import pycuda.autoinit  # noqa: F401  # port: pycuda.autoinit
import pycuda.driver as cuda
import tensorrt as trt

TRT_LOGGER = trt.Logger(trt.Logger.WARNING)
EXPLICIT_BATCH = 1 << (int)(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)  # port: EXPLICIT_BATCH


class HostDeviceMem:
    def __init__(self, host, device):
        self.host, self.device = host, device


class Calibrator(trt.IInt8EntropyCalibrator2):  # port: IInt8EntropyCalibrator2
    def __init__(self, batches):
        trt.IInt8EntropyCalibrator2.__init__(self)  # port: IInt8EntropyCalibrator2
        self.batches = iter(batches)

    def get_batch_size(self):
        return 1

    def get_batch(self, names):
        return [int(cuda.mem_alloc(4))]

    def read_calibration_cache(self):
        return None

    def write_calibration_cache(self, cache):
        pass


def build_engine(onnx_file, args):
    with (
        trt.Builder(TRT_LOGGER) as builder,  # port: with Builder
        builder.create_network(EXPLICIT_BATCH) as network,  # port: with INetworkDefinition
        trt.OnnxParser(network, TRT_LOGGER) as parser,  # port: with OnnxParser
    ):
        builder.max_workspace_size = 1 << 30  # port: max_workspace_size
        builder.max_batch_size = args.max_batch_size  # port: max_batch_size
        builder.fp16_mode = args.fp16_mode  # port: fp16_mode
        if args.int8:
            builder.int8_mode = True  # port: int8_mode
            builder.int8_calibrator = Calibrator([])  # port: int8_calibrator
        builder.strict_type_constraints = True  # port: strict_type_constraints
        with open(onnx_file, "rb") as model:
            parser.parse(model.read())  # port: parse ignored
        network.get_input(0).dtype = trt.float16  # port: ITensor.dtype =
        return builder.build_cuda_engine(network)  # port: build_cuda_engine


def load_engine(path):
    with open(path, "rb") as f, trt.Runtime(TRT_LOGGER) as runtime:  # port: with Runtime
        return runtime.deserialize_cuda_engine(f.read())  # port: deserialize_cuda_engine


def allocate_buffers(engine):
    inputs, outputs, bindings = [], [], []
    stream = cuda.Stream()
    for binding in engine:  # still gives the names
        size = trt.volume(engine.get_binding_shape(binding))  # port: get_binding_shape
        size *= engine.max_batch_size  # port: max_batch_size
        dtype = trt.nptype(engine.get_binding_dtype(binding))  # port: get_binding_dtype
        host = cuda.pagelocked_empty(size, dtype)
        memory = HostDeviceMem(host, cuda.mem_alloc(host.nbytes))
        bindings.append(int(memory.device))
        if engine.binding_is_input(binding):  # port: binding_is_input
            inputs.append(memory)
        else:
            outputs.append(memory)
    return inputs, outputs, bindings, stream


def do_inference(context, bindings, inputs, outputs, stream, batch_size=1):
    for memory in inputs:
        cuda.memcpy_htod_async(memory.device, memory.host, stream)
    context.execute_async(batch_size=batch_size, bindings=bindings, stream_handle=stream.handle)  # port: execute_async
    for memory in outputs:
        cuda.memcpy_dtoh_async(memory.host, memory.device, stream)
    stream.synchronize()
    return [memory.host for memory in outputs]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fp16_mode", action="store_true")
    args = parser.parse_args()
    engine = build_engine("model.onnx", args)
    with engine, engine.create_execution_context() as context:  # port: with ICudaEngine, with IExecutionContext
        inputs, outputs, bindings, stream = allocate_buffers(engine)
        print(do_inference(context, bindings, inputs, outputs, stream))
        context.execute(1, bindings)  # port: IExecutionContext.execute
    print(np.version)


if __name__ == "__main__":
    main()
