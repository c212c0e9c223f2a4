"""What can be said of a network without training it: parameters, MACs, memory, latency, gradients, its blocks."""
