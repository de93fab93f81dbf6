# Exercise 03.1: export with an input "digits", an output "scores" and a dynamic batch, to work/exercise.onnx alone,
# weights inside.
import torch
from helpers.lenet import torch_lenet

exported = Path("work/exercise.onnx")
exported.unlink(missing_ok=True)
options = {"dynamo": True, "opset_version": 17, "verbose": False}
options |= {"input_names": ["digits"], "output_names": ["scores"]}
options |= {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
torch.onnx.export(torch_lenet().eval(), (torch.zeros(2, 1, 28, 28),), **options).save(exported)
