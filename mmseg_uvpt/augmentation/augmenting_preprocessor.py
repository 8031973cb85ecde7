"""Augmenting a training batch on the model's device, before it is normalised."""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.acceleration.async_copies import AsyncPreprocessor
from mmseg_uvpt.augmentation.augmentations import CORRUPTIONS
from mmseg_uvpt.augmentation.fda import exchange_amplitude
from mmseg_uvpt.augmentation.prerequisites import FILES
from mmseg_uvpt.augmentation.style_networks import make_network


# the second name is that of version 0.1
@MODELS.register_module(name=['AugmentingPreprocessor', 'GeneralisingPreprocessor'])
class AugmentingPreprocessor(AsyncPreprocessor):
    """The preprocessor of all models, after the augmentation that `augmented_collate` chose.

    The networks' weights are no part of the model: they are read from their files when they are
    first needed, and no checkpoint holds them.

    Args:
        weights: paths of ``adain_encoder``, ``adain_decoder``, ``style_transfer``,
            ``style_predictor`` and ``style_embeddings``.
        adain_strength: 0 to 1.
        style_strength: 0 to 1, of the style randomisation.
        fda_beta: half-width of the exchanged window, as a part of the shorter side.
        **kwargs: of `AsyncPreprocessor`.
    """

    def __init__(
        self,
        weights: dict[str, str] | None = None,
        adain_strength: float = 0.3,
        style_strength: float = 0.5,
        fda_beta: float = 0.005,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.weights = dict(weights or {})
        self.strengths = {'adain': adain_strength, 'style_randomisation': style_strength}
        self.fda_beta = fda_beta
        self._networks: dict[str, nn.Module] = {}  # a plain dict: none of them is a submodule

    def forward(self, data: dict, training: bool = False) -> dict:
        """Augment (in training), normalise, stack and pad; shapes as in mmseg's.

        Raises:
            UserError: a file of weights is missing or does not fit.
        """
        if training:
            data = self.cast_data(data)
            data = {**data, 'inputs': self._augment(data['inputs'], data['data_samples'])}
        return super().forward(data, training)

    @torch.no_grad()
    def _augment(self, images: list[Tensor], samples: list) -> list[Tensor]:
        """Augment images (3, H, W), BGR in 0..255: all at once where they have one size.

        What leaves the range is not cut to it, as published.
        """
        name = samples[0].metainfo.get('augmentation')
        if name is None or name in CORRUPTIONS:
            return images
        with torch.autocast(images[0].device.type, enabled=False):
            rgb = [image.float().flip(0) / 255 for image in images]
            if len({image.shape for image in rgb}) == 1:
                augmented = self.augment(name, torch.stack(rgb), [s.get('style') for s in samples])
            else:
                augmented = [
                    self.augment(name, image[None], [sample.get('style')])[0]
                    for image, sample in zip(rgb, samples, strict=True)
                ]
        return [255 * image.flip(0) for image in augmented]

    def augment(self, name: str, images: Tensor, styles: list) -> Tensor:
        """Augment images.

        Args:
            name: of the augmentation, no corruption.
            images: (B, 3, H, W), RGB in 0..1.
            styles: an image's style image each: `PixelData` of (3, h, w), RGB in 0..255; None
                where the augmentation takes none.

        Returns:
            Tensor: (B, 3, H, W); values may leave 0..1 a little.
        """
        if name == 'fda_random':
            noise = torch.empty_like(images).uniform_(1, 255) / 255
            return exchange_amplitude(images, noise, self.fda_beta)
        if name == 'fda_style':
            # style images come as 512 x 512; for crops of another size they are resized again
            targets = [_resized(style.data, images.shape[2:]) for style in styles]
            return exchange_amplitude(images, torch.stack(targets), self.fda_beta)
        network = self._network(name, images.device)
        if name == 'adain':
            return network(images, [style.data.float() / 255 for style in styles])
        return network(images, network.sample(len(images)).to(images.device))

    def _network(self, name: str, device: torch.device) -> nn.Module:
        if name not in self._networks:
            paths = {part: self.weights.get(part) for part in FILES[name]}
            self._networks[name] = make_network(name, paths, self.strengths[name])
        return self._networks[name].to(device)


def _resized(style: Tensor, size: torch.Size) -> Tensor:
    style = style.float()[None] / 255
    if style.shape[2:] != size:
        style = F.interpolate(style, tuple(size), mode='bicubic', antialias=True).clamp(0, 1)
    return style[0]
