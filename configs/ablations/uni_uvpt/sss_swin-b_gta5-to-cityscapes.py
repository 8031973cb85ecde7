"""The full method, which the ablations are compared with: the published recipe and its models."""

_base_ = '../../uni_uvpt/sss_swin-b_gta5-to-cityscapes.py'
