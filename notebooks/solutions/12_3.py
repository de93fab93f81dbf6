# Exercise 12.3: port this function. In TensorRT 7 its last line but one was
#     config.max_workspace_size = megabytes << 20
def config_with(builder, megabytes):
    """Returns an IBuilderConfig whose layers may use so many MiB (2**20 bytes) of scratch memory."""
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, megabytes << 20)
    return config
