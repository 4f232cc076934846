"""Importing this makes Python look for garbage less often: every process of ours begins with it.

Our libraries make millions of objects as they are imported, none of them garbage: by default a fifth of that time, and
a second at the end of every command, goes into looking through them.
"""

import atexit
import gc

gc.set_threshold(100_000, 20, 20)
atexit.register(gc.freeze)  # What is still there at the end ends with the process.
