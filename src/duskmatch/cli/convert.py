"""`duskmatch convert WEIGHTS.pth OUT.safetensors`: copies a pickle's tensors, read by torch's safe loader."""

from __future__ import annotations

import argparse
from pathlib import Path

from duskmatch.errors import CheckpointError, OutputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, metavar="WEIGHTS.pth", help="weights of torchvision, timm or others")
    parser.add_argument("out", type=Path, metavar="OUT.safetensors", help="the file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def run(args: argparse.Namespace) -> None:
    from safetensors.torch import save

    from duskmatch.cli import console
    from duskmatch.files import write_bytes
    from duskmatch.pickled import read_pickle

    if args.out.suffix != ".safetensors":
        raise OutputError(f"{args.out}: the name must end in .safetensors")
    if args.out.exists() and not args.overwrite:
        raise OutputError(f"{args.out} exists; choose another name or pass --overwrite")
    tensors = read_pickle(args.weights)
    try:
        data = save(tensors)
    except KeyError as error:  # a number format that safetensors lacks
        name = next(name for name, tensor in tensors.items() if tensor.dtype == error.args[0])
        raise CheckpointError(
            f"{args.weights}: {name} holds {error.args[0]}, which .safetensors does not support; save it as float32"
        ) from error
    write_bytes(args.out, data)
    outcome = {"out": str(args.out), "tensors": len(tensors), "parameters": sum(t.numel() for t in tensors.values())}
    console.result(outcome, lambda o: f"{o['tensors']} tensors, {o['parameters'] / 1e6:.2f} M numbers: {o['out']}")
