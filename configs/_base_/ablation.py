# What the ablations change: the published recipe, without the adapted model that belongs to it.
_base_ = '../uni_uvpt/sss_swin-b_gta5-to-cityscapes.py'

uvpt = dict(published=dict(adapted=dict(_delete_=True)), released_checkpoint=None)
