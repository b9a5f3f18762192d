"""``scanner bench``: how fast one's own data can be scanned on one's own machine, and whether that got worse.

:mod:`ratios` pairs measurements, :mod:`floor` is what they are held against, :mod:`stages` tells where the time goes,
:mod:`exact` counts instead of timing, :mod:`measure` puts them together, :mod:`compare` judges two of its results.
"""
