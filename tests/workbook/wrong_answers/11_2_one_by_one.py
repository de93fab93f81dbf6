# hint: without overlap
def pipelined(stages, batches):
    return batches * sum(stages)
