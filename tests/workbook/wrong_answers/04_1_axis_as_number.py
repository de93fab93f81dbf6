# hint: axes is a bit mask
def add_probabilities(network, logits):
    softmax = network.add_softmax(logits)
    softmax.axes = 1
    softmax.get_output(0).name = "probabilities"
    network.mark_output(softmax.get_output(0))
