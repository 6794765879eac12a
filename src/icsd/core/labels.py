"""The types of images and label maps, and the special values in label maps."""

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""Label of pixels that belong to no class. They count in no loss and no metric."""

UNLABELLED = -1
"""Label, in int64 maps, of pixels whose class is hidden from the student. Losses against labels skip them;
distillation methods count them, even those that skip ``IGNORE``."""

Pixels = NDArray[np.uint8]
"""An image [H, W, 3] or a label map [H, W]."""
