"""What every rank loads, once: ranks are forked from a process that has imported this."""

import gc

import deepspeed.ops
import deepspeed.runtime.zero.muon.original_muon
import numpy as np
import pyarrow as pa

import pipeline.objectives.mlm
import pipeline.objectives.nsp
import pipeline.training.loop
import pipeline.training.rank  # noqa: F401
from pipeline.objectives.masking import Scheme, mask_batch
from pipeline.training.batches import Lists
from pipeline.training.dealing import deal

SCHEME = Scheme(seed=0, unit="token", rate=0.15, vocab_size=9, special_ids=(0,), mask_id=1)

assert deepspeed.ops.__compatible_ops__  # found out by trying a compiler
padded = Lists(pa.chunked_array([pa.array([[5, 6]], pa.list_(pa.uint16()))])).pad(np.zeros(1, np.int64), 2)
mask_batch(SCHEME, padded, np.array([2]), np.array([0]), np.array([0]))
deal(np.array([2, 1]), ranks=1, micro_batch=1)
gc.collect()
gc.freeze()  # or the first collection of a rank copies all of it
