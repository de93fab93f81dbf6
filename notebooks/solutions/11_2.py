# Exercise 11.2: how long a perfect pipeline takes for a number of batches.
def pipelined(stages, batches):
    """stages: times of one batch in µs, for example (copy in, compute, copy out). All stages work side by side."""
    return sum(stages) + (batches - 1) * max(stages)
