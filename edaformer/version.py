"""The version of this toolchain, written into every manifest."""

__version__ = "0.1.0"
