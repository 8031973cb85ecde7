"""The backbones that the demo takes."""

# what a user types, and what configs/demo calls the model
BACKBONES = {
    'efficientnet-lite0': 'efficientnet-lite0',
    **{name: f'{name}-nano' for name in ('swin', 'mit', 'convnext', 'pvt', 'swinv2', 'vit')},
}
PRETRAINED = ('efficientnet-lite0',)  # on ImageNet; the others begin at random
