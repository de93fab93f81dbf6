# hint: that is the mean
def summary(times, warm_up):
    return np.mean(times[warm_up:]), np.percentile(times[warm_up:], 99)
