"""The words of the report, explained where they stand."""

from __future__ import annotations

GLOSSARY = {
    "E_cons": (
        "Inconsistency along the motion, per boundary pixel: how many visible pixels change "
        "their label when the masks are carried to a neighbouring frame along the optical flow. "
        "0 is perfectly stable; lower is better. Masks that are right everywhere score a little "
        "above 0, since flow is not exact. A width in pixels of the working size: at half the size "
        "it is about half as large. Azulay et al., eq. 3 and 4."
    ),
    "E_smooth": (
        "How far each frame's mask is from the weighted mean of its neighbours in time, per "
        "boundary pixel. Lower is smoother. Unlike E_cons it knows no motion, so fast objects "
        "score high. Azulay et al., eq. 2."
    ),
    "IoU in/out": (
        "Overlap of the masks before and after: pixels where both have the same class, divided by "
        "pixels where either has one. 1.000 means that nothing was changed. It does not say which "
        "of the two is right."
    ),
    "flicker": (
        "E_cons of one frame and the next alone. A peak is a moment at which masks jump although "
        "the picture does not."
    ),
    "changed": (
        "Share of the masks that is not as it came in, frame by frame: 1 less the IoU in/out. "
        "High values are large repairs, or harm: look at these first."
    ),
    "risk": (
        "How likely a frame's mask of an object is clearly wrong (an IoU under .8 with the true "
        "mask), from how much of it is not trusted, how far the frames around it disagree, and how "
        "well its colours fit. An estimate, to order frames by: masks that are coarse or wrong "
        "throughout a clip can have a low risk."
    ),
    "trust": (
        "How far an object's mask, as it came in, agrees with the masks of the frames around it, "
        "carried along the motion. Red: share of its pixels that is wrong beyond doubt. Grey: "
        "share that is unsure, doubted by its neighbours. The rest is trusted and comes out as "
        "it went in. Of several objects the highest shares are drawn. Trusted is not the same as "
        "right: masks that are wrong in the same way all the time agree with each other."
    ),
    "to look at": (
        "What a person should check: warnings (the clip came out worse than it went in), frames "
        "that could not be decoded, and frames whose masks were changed a lot."
    ),
    "slice of time": (
        "The same row of every frame, one below the other: time runs down. Still edges are smooth "
        "lines; edges that flicker have teeth. Aligned by the flow, the row goes where the things "
        "on it go, so that motion is gone and flicker is left; what is occluded is striped in red."
    ),
    "flow": (
        "The motion from one frame to the next, as colours: the hue says where to, as on the "
        "wheel; strong colours are fast. Where the flow is wrong, masks cannot be carried."
    ),
    "visible": (
        "White pixels are shown by the next frame too: going there along the flow and back leads "
        "home. Black ones become hidden or leave the picture; they count in no score."
    ),
    "jump": (
        "How much the area of a class changes from one frame to the next, as a share of it; mean "
        "over frames. 0 is constant, 2 comes and goes with every frame."
    ),
    "seconds": ("Computing time of all workers together. Results found in the store took none."),
}
