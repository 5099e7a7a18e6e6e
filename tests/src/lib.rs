//! The tests' own tools.
