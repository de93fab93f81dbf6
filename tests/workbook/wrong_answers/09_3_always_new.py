# hint: 160 were enough
class Limited(trt.IOutputAllocator):
    def __init__(self, allocate, limit):
        trt.IOutputAllocator.__init__(self)
        self.allocate, self.limit = allocate, limit

    def reallocate_output(self, tensor_name, memory, size, alignment):
        return self.allocate(size) if size <= self.limit else 0
