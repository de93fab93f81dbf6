# hint: 64 does more per second
def best_batch(latencies, limit):
    return max((batch for batch, p99 in latencies.items() if p99 <= limit), default=None)
