"""Trains the LeNet of the workbook on data/mnist.npz and writes data/lenet.onnx and data/lenet.npz.

Run ``python tools/train_lenet.py`` (about 40 seconds on two cores). The seed, the thread count and
deterministic algorithms are fixed, so that the same PyTorch on the same kind of CPU gives the same weights.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from helpers.lenet import export_onnx, torch_lenet

DATA = Path(__file__).resolve().parents[1] / "data"


def digits(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as float32 (N, 1, 28, 28) in [0, 1] and labels as int64 (N,)."""
    with np.load(DATA / "mnist.npz") as mnist:
        images, labels = mnist[f"{split}_images"], mnist[f"{split}_labels"]
    return torch.from_numpy(images).float().unsqueeze(1) / 255, torch.from_numpy(labels).long()


def shifted(images: torch.Tensor, pixels: int = 2) -> torch.Tensor:
    """A copy of the batch, moved as a whole by up to ``pixels`` in each direction: 12,000 digits are few."""
    dx, dy = torch.randint(-pixels, pixels + 1, (2,)).tolist()
    padded = torch.nn.functional.pad(images, [pixels] * 4)
    return padded[..., pixels + dy : pixels + dy + 28, pixels + dx : pixels + dx + 28]


def train(epochs: int, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    images, labels = digits("train")
    model = torch_lenet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    batches = len(images) // 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * batches)
    with tqdm(total=epochs * batches, desc="training", unit="batch") as bar:
        for _ in range(epochs):
            for batch in torch.randperm(len(images))[: batches * 64].view(batches, 64):
                optimizer.zero_grad()
                loss = cross_entropy(model(shifted(images[batch])), labels[batch])
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
            bar.set_postfix(loss=f"{loss.item():.4f}")
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=DATA, help="folder for lenet.onnx and lenet.npz")
    args = parser.parse_args()

    model = train(args.epochs, args.seed)
    images, labels = digits("test")
    with torch.no_grad():
        accuracy = (model(images).argmax(1) == labels).float().mean().item()
    print(f"accuracy on the {len(images)} test digits: {accuracy:.2%}")

    args.out.mkdir(parents=True, exist_ok=True)
    np.savez(args.out / "lenet.npz", **{k: v.numpy() for k, v in model.state_dict().items()})
    export_onnx(model, args.out / "lenet.onnx")
    onnx.checker.check_model(args.out / "lenet.onnx", full_check=True)
    for name in ("lenet.npz", "lenet.onnx"):
        data = (args.out / name).read_bytes()
        print(f"{name}: {len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()[:16]}…")


if __name__ == "__main__":
    main()
