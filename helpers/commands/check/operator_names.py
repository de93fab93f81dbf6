"""Names of operators that TensorRT takes seldom or never, by kind (chapter 08). Standard library only.

>>> "EfficientNMS_TRT" in PLUGINS and "GroupQueryAttention" in ATTENTION
True
"""

# The plugins of NVIDIA/TensorRT/plugin, of all releases since 8.6, less those that bear the name of an ONNX operator.
PLUGINS = frozenset((
    "BatchTilePlugin_TRT", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT", "CustomQKVToContextPluginDynamic", "Clip_TRT",
    "CoordConvAC", "CropAndResize", "CropAndResizeDynamic", "DecodeBbox3DPlugin", "DetectionLayer_TRT",
    "DisentangledAttention_TRT", "EfficientNMS_TRT", "EfficientNMS_ONNX_TRT", "EfficientNMS_Explicit_TF_TRT",
    "EfficientNMS_Implicit_TF_TRT", "CustomEmbLayerNormPluginDynamic", "CustomFCPluginDynamic", "FlattenConcat_TRT",
    "CustomGeluPluginDynamic", "GenerateDetection_TRT", "GridAnchor_TRT", "GridAnchorRect_TRT",
    "GroupNormalizationPlugin", "InstanceNormalization_TRT", "LReLU_TRT", "ModulatedDeformConv2d",
    "MultilevelCropAndResize_TRT", "MultilevelProposeROI_TRT", "MultiscaleDeformableAttnPlugin_TRT", "NMS_TRT",
    "NMSDynamic_TRT", "Normalize_TRT", "RPROI_TRT", "PillarScatterPlugin", "PriorBox_TRT", "ProposalLayer_TRT",
    "Proposal", "ProposalDynamic", "PyramidROIAlign_TRT", "Region_TRT", "Reorg_TRT", "ROIAlign_TRT",
    "ResizeNearest_TRT", "CustomSkipLayerNormPluginDynamic", "SpecialSlice_TRT", "VoxelGeneratorPlugin",
))  # fmt: skip
ATTENTION = frozenset((
    "Attention", "DecoderAttention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention",
    "GroupQueryAttention", "LinearAttention", "LongformerAttention", "MultiHeadAttention", "PackedAttention",
    "PackedMultiHeadAttention", "PagedAttention", "QAttention", "QOrderedAttention", "RelativePositionBias",
    "RotaryEmbedding", "SparseAttention", "TensorScatter",
))  # fmt: skip
DYNAMIC_QUANTIZATION = frozenset((
    "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
    "DynamicQuantizeLSTM",
))  # fmt: skip
QUANTIZED_OPERATORS = frozenset((
    "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool", "QLinearLeakyRelu",
    "QLinearMatMul", "QLinearMul", "QLinearReduceMean", "QLinearSigmoid", "QLinearSoftmax", "QLinearWhere", "QGemm",
))  # fmt: skip
REDUCTIONS = frozenset(
    f"Reduce{kind}" for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
)
# What may read UINT8: conversions, what looks at shapes only, and what has an advice of its own.
MAY_READ_UINT8 = frozenset((
    "Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger",
    "QLinearConv", "QLinearMatMul", "Identity", "Shape", "Size", "If", "Loop", "Scan",
))  # fmt: skip
# Through these a size comes to the condition of an If.
THROUGH = ("Cast", "Not", "Squeeze", "Unsqueeze", "Gather", "Slice", "Identity", "Reshape", "Equal")
