"""Handwritten digits for the examples: the data, its split, and its encoding into time steps.

scikit-learn bundles 1797 scanned digits of 8x8 pixels, so nothing is downloaded. Training and demo
import the same split from here, which is how the demo knows that the network has not seen its test
images.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

FOLDER = Path(__file__).parent
MODEL = FOLDER / "digits.t1c"
TEST_DATA = FOLDER / "digits_test.npz"

CLASSES = [str(digit) for digit in range(10)]
STEPS = 16


class Digits(NamedTuple):
    """Images (N, 1, 8, 8) with pixels from 0 (paper) to 1 (ink), and labels (N,)."""

    images: Tensor
    labels: Tensor


def load_split() -> tuple[Digits, Digits]:
    """The digits for training and the quarter that is kept for testing, always the same ones."""
    scans = load_digits()
    images = (scans.images[:, np.newaxis] / 16).astype(np.float32)
    labels = scans.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=0
    )
    return (
        Digits(torch.from_numpy(train_x), torch.from_numpy(train_y)),
        Digits(torch.from_numpy(test_x), torch.from_numpy(test_y)),
    )


def encode(images: Tensor, steps: int = STEPS) -> Tensor:
    """Constant current: the same image at every step, (B, 1, 8, 8) -> (T, B, 1, 8, 8).

    Nothing is random. The first layer's neurons turn brightness into spikes: the more ink, the
    harder they are driven, and the earlier and more often they fire.
    """
    return images.expand(steps, *images.shape)


def decide(spikes: Tensor) -> Tensor:
    """The digit whose output neuron fired most often, (T, B, 10) -> (B,); ties go to the lowest."""
    return spikes.sum(dim=0).argmax(dim=1)


def accuracy(spikes: Tensor, labels: Tensor) -> float:
    """The share of samples that ``decide`` gets right."""
    return (decide(spikes) == labels).double().mean().item()
