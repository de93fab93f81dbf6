# hint: network.mark_output
def add_probabilities(network, logits):
    softmax = network.add_softmax(logits)
    softmax.axes = 1 << 1
    softmax.get_output(0).name = "probabilities"
