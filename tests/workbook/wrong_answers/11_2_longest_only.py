# hint: the first batch has to go through all stages
def pipelined(stages, batches):
    return batches * max(stages)
