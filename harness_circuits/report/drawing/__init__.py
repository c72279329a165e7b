"""Circuit drawings and curves as pictures."""

from typing import TYPE_CHECKING

from harness_circuits.registry import on_first_use

if TYPE_CHECKING:
    from harness_circuits.report.drawing.curves import curves_figure
    from harness_circuits.report.drawing.curves_static import curves_picture
    from harness_circuits.report.drawing.dot import draw_dot
    from harness_circuits.report.drawing.layout import Drawing, lay_out

__all__ = [
    "Drawing",
    "curves_figure",
    "curves_picture",
    "draw_dot",
    "lay_out",
]

__getattr__ = on_first_use(
    __name__,
    {
        "Drawing": "layout",
        "curves_figure": "curves",
        "curves_picture": "curves_static",
        "draw_dot": "dot",
        "lay_out": "layout",
    },
)
