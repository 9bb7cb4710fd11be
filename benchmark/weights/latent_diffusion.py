"""Assembly of a latent diffusion network's published files into one weight file for `--weights`.

    python -m petlir.benchmark.weights.latent_diffusion UNET AUTOENCODER TEXT_ENCODER OUT

UNET and AUTOENCODER are files or `hub:OWNER/REPO@REVISION/FILE#sha256=HEX`; TEXT_ENCODER is a folder with a text
encoder of the transformers library.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from petlir.benchmark.backbones import build
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.weights import checkpoints
from petlir.benchmark.weights.sources import fetch
from petlir.benchmark.writing import write_bytes

RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Names of the autoencoder's attention layers in files of early versions of diffusers → their current names."""
START, STOP, PADDING = 49406, 49407, 0
"""The tokens of the empty prompt in Stable Diffusion 2: start, end, and padding with `!`."""


def assemble(unet: Mapping[str, Tensor], autoencoder: Mapping[str, Tensor], prompt: Tensor) -> dict[str, Tensor]:
    """Return the state dict of a latent diffusion network.

    Args:
        unet: published weights of the U-Net.
        autoencoder: published weights of the autoencoder.
        prompt: the embedding of the empty prompt, 1×K×D.
    """
    state = {f"unet.{key}": tensor for key, tensor in unet.items()}
    return state | {f"autoencoder.{_renamed(key)}": tensor for key, tensor in autoencoder.items()} | {"prompt": prompt}


def empty_prompt(folder: Path, tokens: int = 77) -> Tensor:
    """Return the embedding of the empty prompt, 1×tokens×D, computed by the text encoder in a folder.

    Raises:
        PetlirError: the transformers library is not installed, or the folder does not hold a text encoder.
    """
    try:
        from transformers import CLIPTextModel
    except ImportError as error:
        raise PetlirError("the empty prompt's embedding needs transformers: pip install 'petlir[diffusion]'") from error
    try:
        encoder = CLIPTextModel.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise PetlirError(f"{folder} holds no text encoder of the transformers library: {line}") from error
    ids = torch.tensor([[START, STOP, *[PADDING] * (tokens - 2)]])
    with torch.no_grad():
        embedding: Tensor = encoder.eval()(ids).last_hidden_state
    return embedding


def write(unet: str, autoencoder: str, text_encoder: Path, out: Path, name: str = "sd-turbo") -> None:
    """Write the weights of backbone `name` to a safetensors file.

    Raises:
        PetlirError: a file is missing, or the weights do not fit; nothing is written.
    """
    from safetensors.torch import save

    parts = [checkpoints.read(fetch(source)) for source in (unet, autoencoder)]
    state = assemble(parts[0], parts[1], empty_prompt(text_encoder))
    with without_memory():
        network = build(name)
    network.load_official({key: tensor.to("meta") for key, tensor in state.items()})
    write_bytes(out, save({key: tensor.contiguous() for key, tensor in state.items()}))


def _renamed(key: str) -> str:
    for old, new in RENAMED.items():
        key = key.replace(old, new) if "attentions" in key else key
    return key


def main(
    unet: Annotated[str, typer.Argument()],
    autoencoder: Annotated[str, typer.Argument()],
    text_encoder: Annotated[Path, typer.Argument()],
    out: Annotated[Path, typer.Argument()],
) -> None:
    """Convert the published files of sd-turbo to one weight file for `--weights`."""
    try:
        write(unet, autoencoder, text_encoder, out)
    except PetlirError as error:
        typer.echo(f"petlir: {error}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
