"""OpenVINO itself: one for the process, kept until it ends.

The CPU plugin gives the thread that loads it a stack for signals, and takes that memory away when
the plugin goes, whichever thread lets go of it. The first thread's next signal would then end the
process. So the plugin stays.
"""

from __future__ import annotations

from typing import Final

import openvino

CORE: Final = openvino.Core()
"""May be used by several threads."""
