# Exercise 07.3: the median and the 99th percentile of a series of latencies, without the warm-up.
def summary(times, warm_up):
    """times: latencies in µs in the order in which they were measured; warm_up: how many calls to ignore."""
    median, p99 = np.percentile(times[warm_up:], [50, 99])
    return median, p99
