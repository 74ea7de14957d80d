"""Accuracy and stability measures on arrays, usable on the masks of any system.

Two users make numbers of them. ``evaluate`` scores finished masks: those that need a truth in
`steadymask.evaluation.correctness` (`accuracy`, `semantic`, `temporal`, `davis_instability`,
`contour_instability`), all others in `steadymask.evaluation.stability` (`stability`, `temporal`). A
run scores itself: the stage `measure` counts (`pair_counts`, `stability`), and `scores` sums up and
warns (`stability`, `harm`). `risk`, `colour_fit` and `key_frame_conflicts` serve the review list.
"""
