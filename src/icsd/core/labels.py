"""What images and label maps are, and what the numbers in a label map mean."""

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""Label of pixels that belong to no class: no loss and no metric counts them."""

Pixels = NDArray[np.uint8]
"""An image [H, W, 3] or a label map [H, W]."""
