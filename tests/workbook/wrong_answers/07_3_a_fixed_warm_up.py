# hint: leave out the first warm_up calls
def summary(times, warm_up):
    return np.percentile(times[100:], [50, 99])
