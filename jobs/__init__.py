"""The work itself: bytes, arrays and files in, bytes, arrays and files out; no AWS client."""
