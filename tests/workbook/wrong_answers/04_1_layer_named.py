# hint: name the tensor
def add_probabilities(network, logits):
    softmax = network.add_softmax(logits)
    softmax.axes = 1 << 1
    softmax.name = "probabilities"
    network.mark_output(softmax.get_output(0))
