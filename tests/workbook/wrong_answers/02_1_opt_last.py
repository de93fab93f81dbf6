# hint: min 1, opt 8, max 32|the order is min, opt, max
from helpers.builder import create_network

profile = create_network("exercise").builder.create_optimization_profile()
profile.set_shape("image", (1, 1, 28, 28), (32, 1, 28, 28), (32, 1, 28, 28))
