"""The benchmark engine. The engine does not depend on any particular method or task."""
