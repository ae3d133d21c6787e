"""The program on the simulated gfx1201, where it was built (target simulated_gpu)."""
import pathlib

import pytest

from real_server import BINARY, ROOT

BUILD = pathlib.Path(BINARY).parent
# What tools/simulated_gpu.sh sets, for one program.
ON_SIMULATED_GPU = ("bash", "-c", 'source "$0/tools/simulated_gpu.sh" "$1" && shift && exec "$@"', str(ROOT), str(BUILD))
needs_simulator = pytest.mark.skipif(not (BUILD / "tests/gpu/libisotope_sim_hip.so").exists(),
                                     reason="simulated_gpu was not built")
