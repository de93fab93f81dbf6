# hint: any may be the longest
def pipelined(stages, batches):
    return sum(stages) + (batches - 1) * stages[1]
