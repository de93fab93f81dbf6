# hint: the limit itself is allowed
def best_batch(latencies, limit):
    return max((b for b, p99 in latencies.items() if p99 < limit), key=lambda b: b / latencies[b], default=None)
