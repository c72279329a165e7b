"""The machine it runs on: processes, time and memory spent, progress, the cache, files."""

from typing import TYPE_CHECKING

from harness_circuits.registry import on_first_use

if TYPE_CHECKING:
    from harness_circuits.machine.cache import cache_folder, make_once
    from harness_circuits.machine.extras import how_to_install
    from harness_circuits.machine.files import write_atomically
    from harness_circuits.machine.outgoing import clean, path_part
    from harness_circuits.machine.ranks import ALONE, Ranks, join_processes

__all__ = [
    "ALONE",
    "Ranks",
    "cache_folder",
    "clean",
    "how_to_install",
    "join_processes",
    "make_once",
    "path_part",
    "write_atomically",
]

__getattr__ = on_first_use(
    __name__,
    {
        "ALONE": "ranks",
        "Ranks": "ranks",
        "cache_folder": "cache",
        "clean": "outgoing",
        "how_to_install": "extras",
        "join_processes": "ranks",
        "make_once": "cache",
        "path_part": "outgoing",
        "write_atomically": "files",
    },
)
