# How the demo sees MiniCity (tools/make_demo_data.py): frames of 512 x 256 at 320 x 160, so that
# nano models learn within minutes on two cores. Scores are at the original size.
minicity_frame = [
    dict(type='LoadImageChecked'),
    dict(type='Resize', scale=(320, 160), keep_ratio=True),
]
minicity_unlabelled = [*minicity_frame, dict(type='PackSegInputs')]
minicity_labelled = [
    *minicity_frame,
    dict(type='LoadLabelChecked'),
    dict(type='PackSegInputs'),
]
