# hint: give input_names
import torch
from helpers.lenet import torch_lenet

exported = Path("work/exercise.onnx")
options = {"dynamo": True, "opset_version": 17, "verbose": False}
options |= {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
torch.onnx.export(torch_lenet().eval(), (torch.zeros(2, 1, 28, 28),), **options).save(exported)
