# hint: drop the first calls
def summary(times, warm_up):
    return np.median(times), np.percentile(times, 99)
