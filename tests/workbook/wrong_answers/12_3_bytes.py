# hint: the limit is in bytes
def config_with(builder, megabytes):
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, megabytes)
    return config
