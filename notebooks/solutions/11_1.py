# Exercise 11.1: the largest throughput that a limit on latency allows.
def best_batch(latencies, limit):
    """latencies: {batch: p99 in µs}. The batch with the most inputs per second and p99 <= limit, or None."""
    allowed = [batch for batch, p99 in latencies.items() if p99 <= limit]
    return max(allowed, key=lambda batch: batch / latencies[batch], default=None)
