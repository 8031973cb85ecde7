# Generalise-then-adapt pretraining: as standard single source, but shorter and without warm-up.
_base_ = 'pretrain_400k.py'

param_scheduler = [dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, by_epoch=False)]
train_cfg = dict(max_iters=40000)
# in each iteration one head gets no loss
model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
