"""The clock of the GPU in PyTorch, for both parts of the benchmark that run in PyTorch's own Python."""

import torch


def gpu_clock(run, busy):
    """Measures one run: microseconds between two events on the stream, the GPU kept busy before as in methods.py.

    ``busy``: how many bytes are zeroed for that.
    """
    zeros = torch.empty(busy, dtype=torch.uint8, device="cuda")
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def once():
        zeros.zero_()
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1000

    return once
