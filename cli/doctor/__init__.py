"""`nameplate doctor`: does everything that control, or a sidecar, needs answer as it should, and what mends what does
not. One noun a file; `findings` has every finding with its mend, `control` and `sidecar` the checks of each process.
"""
