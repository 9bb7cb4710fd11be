"""The benchmark engine. It does not depend on any particular method or task."""
