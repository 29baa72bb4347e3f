"""Everything that touches ministack, which provides most services of the embedded AWS.

Where ministack differs from AWS in something that stacks rely on, a module here fixes it; each function says
what AWS does. The fixes replace private names of ministack, so its version is pinned, and
``tests/embedded_aws/test_ministack_names.py`` fails for each name that a new version removes.
"""
