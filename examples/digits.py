"""Train a small convolutional network on the 1797 handwritten digits that scikit-learn ships (8x8
pixels).

python examples/digits.py [--epochs 12] [--out digits.pt]
"""

import argparse
import pathlib
import time

from sklearn.datasets import load_digits
from tqdm import tqdm

import chainrule as torch
from chainrule import nn
from chainrule.utils.data import DataLoader, TensorDataset


def data():
    """Images in [0, 1] and labels, four fifths for training, the rest for testing."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels))
    cut = len(labels) * 4 // 5
    train, test = order[:cut], order[cut:]
    return TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])


def network():
    """Two convolutions and two dense layers."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def accuracy(model, dataset):
    """The share of images whose largest score is the right digit."""
    model.eval()
    with torch.no_grad():
        images, labels = dataset.tensors
        hits = (model(images).argmax(1) == labels).float().mean().item()
    model.train()
    return hits


def train(model, dataset, epochs):
    """Adam with a falling learning rate, on the cross entropy of mini-batches."""
    loader = DataLoader(dataset, batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    loss_function = nn.CrossEntropyLoss()
    with tqdm(total=epochs * len(loader), unit="step", desc="training") as bar:
        for epoch in range(epochs):
            for images, labels in loader:
                optimizer.zero_grad()
                loss = loss_function(model(images), labels)
                loss.backward()
                optimizer.step()
                bar.update()
                bar.set_postfix(epoch=epoch + 1, loss=f"{loss.item():.4f}")
            schedule.step()


def main():
    """Train, report, save, reload, and check that the reloaded network answers the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("digits.pt"))
    options = parser.parse_args()
    torch.manual_seed(0)
    training, testing = data()
    model = network()
    print(model)
    start = time.perf_counter()
    train(model, training, options.epochs)
    seconds = time.perf_counter() - start
    result = accuracy(model, testing)
    print(
        f"test accuracy {100 * result:.1f} % on {len(testing)} images, after {seconds:.1f} s of"
        " training"
    )

    torch.save(model.state_dict(), options.out)
    again = network()
    again.load_state_dict(torch.load(options.out))
    same = accuracy(again, testing) == result
    size = options.out.stat().st_size / 1024
    print(
        f"wrote the trained parameters to {options.out.resolve()} ({size:.0f} KB); reloaded, the"
        " network answers " + ("the same" if same else "DIFFERENTLY")
    )
    if result < 0.97 or not same:
        raise SystemExit("the network did not reach 97 % or did not survive saving")


if __name__ == "__main__":
    main()
