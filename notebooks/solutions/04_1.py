# Exercise 04.1: add a softmax over the ten digits, and make it the network's output "probabilities".
def add_probabilities(network, logits):
    """logits: an ITensor of shape (-1, 10)."""
    softmax = network.add_softmax(logits)
    softmax.axes = 1 << 1
    softmax.get_output(0).name = "probabilities"
    network.mark_output(softmax.get_output(0))
