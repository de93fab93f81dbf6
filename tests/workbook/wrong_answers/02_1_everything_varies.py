# hint: fixed dimensions
from helpers.builder import create_network

profile = create_network("exercise").builder.create_optimization_profile()
profile.set_shape("image", (1, 1, 1, 1), (8, 1, 28, 28), (32, 1, 28, 28))
