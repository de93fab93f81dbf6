# Exercise 02.1: allow batches from 1 to 32 of the input "image" (N, 1, 28, 28), with kernels chosen for 8.
from helpers.builder import create_network

profile = create_network("exercise").builder.create_optimization_profile()
profile.set_shape("image", (1, 1, 28, 28), (8, 1, 28, 28), (32, 1, 28, 28))
