# Generalise-then-adapt: the augmentations and where their networks' weights lie (model/README.md).
# A recipe takes `source_gta` and the collate function; shorten its list of augmentations to go
# without some files.
generalising_preprocessor = dict(
    type='AugmentingPreprocessor',
    weights=dict(
        adain_encoder='model/style/vgg_normalised.pth',
        adain_decoder='model/style/decoder.pth',
        style_transfer='model/style/checkpoint_transformer.pth',
        style_predictor='model/style/checkpoint_stylepredictor.pth',
        style_embeddings='model/style/checkpoint_embeddings.pth',
    ),
    adain_strength=0.3,
    style_strength=0.5,
    fda_beta=0.005,
)
augmented_collate = dict(
    type='augmented_collate',
    augmentations=[
        *('adain', 'style_randomisation', 'fda_random', 'fda_style'),
        *('snow', 'frost', 'cartoon'),
    ],
    style_dir='data/style',
)
generalising_loss = dict(
    type='PixelMeanCrossEntropy',
    class_weight=[
        *(0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023),
        *(0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507),
    ],
)
source_gta = dict(
    type='SourceGtA',
    data_preprocessor=generalising_preprocessor,
    decode_head=dict(loss_decode=generalising_loss),
)
