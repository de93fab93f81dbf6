# hint: warm_up
def summary(times, warm_up):
    return np.percentile(np.sort(times)[:-warm_up], [50, 99])
