"""Published weights by system: what `crossfade import-weights SYSTEM FILE` knows.

One file a system with its table of key names, one line here.
"""

from crossfade.importing.advent import ADVENT
from crossfade.importing.base import System
from crossfade.importing.da_vsn import DA_VSN
from crossfade.importing.davss import DAVSS
from crossfade.importing.dtern import DTERN
from crossfade.importing.etc import ETC
from crossfade.importing.stcl import STCL
from crossfade.importing.stcl_vit import STCL_VIT
from crossfade.importing.tmanet import TMANET
from crossfade.importing.tps import TPS

IMPORTERS: dict[str, System] = {
    "advent": ADVENT,
    "da_vsn": DA_VSN,
    "davss": DAVSS,
    "dtern": DTERN,
    "etc": ETC,
    "stcl": STCL,
    "stcl_vit": STCL_VIT,
    "tmanet": TMANET,
    "tps": TPS,
}
"""Name of the system → how its files become a video network of ours."""
