"""What images and label maps are, and what the numbers in a label map mean."""

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""Label of pixels that belong to no class: no loss and no metric counts them."""

UNLABELLED = -1
"""Label of pixels whose class the student is not told, in int64 maps: no loss of labels counts them, but a
method that compares student and teacher does, where it leaves out ``IGNORE``."""

Pixels = NDArray[np.uint8]
"""An image [H, W, 3] or a label map [H, W]."""
