"""Imported last by the process that others are forked from: what it has imported is no garbage, and left alone it stays
shared with them."""

import gc

gc.collect()
gc.freeze()
