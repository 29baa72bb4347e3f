"""What this project offers to others: a construct, a rehearsal for their tests, and the command ``census``.

This package is empty so that a test run or the command line does not load CDK:

- :mod:`census_segmentation.construct` has the construct and its settings,
- :mod:`census_segmentation.rehearsal` is the pytest plug-in,
- :mod:`census_segmentation.command` is the command line.
"""
