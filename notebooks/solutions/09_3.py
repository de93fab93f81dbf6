# Exercise 09.3: an output allocator with a limit: it grows, but never above so many bytes.
class Limited(trt.IOutputAllocator):
    """Gives what allocate(nbytes) returns, an address; 0, which makes the run fail, where size is above the limit."""

    def __init__(self, allocate, limit):
        trt.IOutputAllocator.__init__(self)
        self.allocate, self.limit, self.address, self.capacity = allocate, limit, 0, 0

    def reallocate_output(self, tensor_name, memory, size, alignment):
        """Returns an address, or 0."""
        if size > self.limit:
            return 0
        if self.address == 0 or size > self.capacity:
            self.address, self.capacity = self.allocate(size), size
        return self.address
