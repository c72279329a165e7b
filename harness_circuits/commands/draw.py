"""`harness-circuits draw`: a drawing of one circuit."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from harness_circuits.commands.parser import (
    CommandParser,
    of_kind,
    path_argument,
    text_argument,
)
from harness_circuits.errors import OptionError
from harness_circuits.machine.files import write_atomically
from harness_circuits.machine.outgoing import clean
from harness_circuits.options.kinds import Whole
from harness_circuits.report.draw import (
    check_output,
    default_output,
    draw,
    read_drawing,
    read_page,
)
from harness_circuits.report.extras import needs_report

_EPILOG = """\
examples:
  harness-circuits draw runs/ioi_circuit --output circuit.html    curve, drawing over sizes, pairs
  harness-circuits draw runs/ioi_circuit/scores.safetensors --keep 100 --output circuit.png
  harness-circuits draw runs/ioi_circuit/circuits.safetensors#absolute@0.001 \\
      --scores runs/ioi_circuit/scores.safetensors --output circuit.html
"""


def draw_command(arguments: Sequence[str]) -> None:
    """Run `harness-circuits draw`.

    Raises:
        OptionError: Options that exclude each other, nothing to draw, or a missing extra.
        CircuitFileError: A file cannot be read.
    """
    options = _parser().parse_args(arguments)
    output: Path = options.output or default_output(options.file)
    check_output(output)
    if output.suffix == ".html":
        if options.merge is not None:
            raise OptionError("--merge is for pictures: a page shows every edge.")
        data = read_page(options.file, options.scores, options.keep)
        with needs_report():
            from harness_circuits.report.page import page_of_circuit
        title = clean(f"Circuit: {Path(options.file).name}")
        write_atomically(output, page_of_circuit(data, title).encode())
        print(clean(f"{output}: {len(data['nodes'])} nodes, {len(data['edges'])} {data['units']}"))
        return
    drawing = read_drawing(options.file, options.scores, options.keep, options.merge)
    title = clean(f"{Path(options.file).name}: {drawing.n_edges} {drawing.units}")
    write_atomically(output, draw(drawing, output.suffix, title))
    merged = f", drawn as {len(drawing.edges)} between nodes" if drawing.merged else ""
    print(clean(f"{output}: {len(drawing.nodes)} nodes, {drawing.n_edges} {drawing.units}{merged}"))
    if drawing.note:
        print(clean(drawing.note))


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="harness-circuits draw",
        description="Draw a circuit: layers upward, colour by what an edge feeds, width by score.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "file",
        type=text_argument,
        help="circuit or scores: .safetensors (FILE#NAME), .json, .pt, or a "
        "task's folder of artifacts (FOLDER, FOLDER#NAME)",
    )
    parser.add_argument(
        "--output",
        type=path_argument,
        help="drawing, by its suffix: .svg (default), .png, .pdf, .html, .dot",
    )
    parser.add_argument(
        "--scores", type=text_argument, help="scores file for widths and signs of a circuit's edges"
    )
    parser.add_argument(
        "--keep",
        type=of_kind(Whole(1, 10**9, texts=True)),
        help="of scores, draw the strongest N units (40)",
    )
    parser.add_argument(
        "--merge",
        action=argparse.BooleanOptionalAction,
        help="one line between two nodes, whether into q, k or v (default: above 100 edges)",
    )
    return parser
